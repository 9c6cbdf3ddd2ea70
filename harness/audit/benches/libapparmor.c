/* Records a second of libapparmor's parse_record() on the record given as the argument, after a warm-up; five rounds,
 * the best one counts. Built and run by compare.sh. */
#include <aalogparse/aalogparse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void parse(char *text) {
	aa_log_record *record = parse_record(text);
	if (!record || record->event != AA_RECORD_DENIED || !record->denied_mask) {
		fprintf(stderr, "libapparmor did not read the record\n");
		exit(1);
	}
	free_record(record);
}

int main(int argc, char **argv) {
	enum { COUNT = 200000, ROUNDS = 5 };
	double best = 0;
	if (argc != 2) {
		fprintf(stderr, "usage: %s RECORD\n", argv[0]);
		return 2;
	}
	for (int round = 0; round <= ROUNDS; round++) {
		double start = now();
		for (int i = 0; i < COUNT; i++)
			parse(argv[1]);
		double rate = COUNT / (now() - start);
		if (round > 0 && rate > best)
			best = rate;
	}
	printf("%.0f\n", best);
	return 0;
}
