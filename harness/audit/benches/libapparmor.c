/* Records a second of processor time of libapparmor's parse_record() on the record given as the argument: one round, after a warm-up.
 * Built and run by compare.sh. */
#include <aalogparse/aalogparse.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { COUNT = 200000 };

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void round_of(char *text, int count) {
	for (int i = 0; i < count; i++) {
		aa_log_record *record = parse_record(text);
		if (!record || record->event != AA_RECORD_DENIED || !record->denied_mask) {
			fprintf(stderr, "libapparmor did not read the record\n");
			exit(1);
		}
		free_record(record);
	}
}

int main(int argc, char **argv) {
	if (argc != 2) {
		fprintf(stderr, "usage: %s RECORD\n", argv[0]);
		return 2;
	}
	round_of(argv[1], COUNT / 10);
	double start = now();
	round_of(argv[1], COUNT);
	printf("%.0f\n", COUNT / (now() - start));
	return 0;
}
