//! Records a second on one core, and whether that stays the same as the input grows. `compare.sh` beside this sets it
//! against libapparmor.

use std::hint::black_box;
use std::time::Duration;

use aa_audit::{parse_record, records};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const DENIAL: &[u8] = include_bytes!("denial.txt");

fn one_record(c: &mut Criterion) {
    let mut group = c.benchmark_group("record");
    group.throughput(Throughput::Elements(1));
    let text = DENIAL.trim_ascii_end();
    group.bench_function("file-denial", |b| b.iter(|| parse_record(black_box(text))));
    let payload = text.strip_prefix(b"type=AVC msg=").unwrap_or(text);
    group.bench_function("file-denial-payload", |b| {
        b.iter(|| parse_record(black_box(payload)))
    });
    group.finish();
}

fn streams(c: &mut Criterion) {
    let mut group = c.benchmark_group("stream");
    group.sample_size(20).measurement_time(Duration::from_secs(3));
    for lines in [1_000, 10_000, 100_000] {
        let input = DENIAL.repeat(lines);
        group.throughput(Throughput::Elements(lines as u64));
        group.bench_with_input(BenchmarkId::new("lines", lines), &input, |b, input| {
            b.iter(|| records(black_box(input)).filter(Result::is_ok).count());
        });
    }
    for megabytes in [1, 10, 100] {
        let input = b"apparmor= audit( msg=' x".repeat(megabytes * 1_000_000 / 24);
        group.throughput(Throughput::Bytes(input.len() as u64));
        group.bench_with_input(
            BenchmarkId::new("garbage-in-one-line-mb", megabytes),
            &input,
            |b, input| {
                b.iter(|| records(black_box(input)).count());
            },
        );
    }
    group.finish();
}

criterion_group!(benches, one_record, streams);
criterion_main!(benches);
