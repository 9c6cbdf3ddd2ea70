//! Runs many variants on several machines side by side, within a time limit, and reports them in their own order.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::backend::Backend;
use crate::prepare::{Candidate, Prepared};
use crate::prove::prove;
use crate::runner::Runner;
use crate::session::Session;
use virt_aa_model::case::expand::Variant;
use virt_aa_model::case_run::CaseRun;
use virt_aa_model::data::Data;
use virt_aa_model::guard::Proof;

/// What a suite may use.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Machines side by side; at least one is used.
    pub jobs: usize,
    /// What has not started by then is not run, and what runs is ended.
    pub deadline: Instant,
}

impl Bounds {
    /// The bounds for `jobs` machines and `timeout`, of which `spent` has passed already.
    pub fn new(jobs: u8, timeout: Duration, spent: Duration) -> Bounds {
        Bounds {
            jobs: usize::from(jobs),
            deadline: Instant::now() + timeout.saturating_sub(spent),
        }
    }
}

/// What every variant is run with.
pub struct Suite<'a> {
    /// The data files.
    pub data: &'a Data,
    /// Image and base set.
    pub prepared: &'a Prepared,
    /// How machines are made.
    pub backend: &'a Backend,
    /// How many machines, and until when.
    pub bounds: Bounds,
}

impl Suite<'_> {
    /// Runs every variant with the base set. `session` is the first machine, already running. `begun` is called as
    /// each variant begins, `ended` as each ends, in the variants' order. A variant that did not start before the
    /// deadline has the verdict `error`.
    pub fn run(
        &self,
        session: Session,
        variants: &[Variant],
        begun: &(dyn Fn(&Variant) + Sync),
        ended: &mut dyn FnMut(&CaseRun),
    ) -> Vec<CaseRun> {
        let base = &self.prepared.base;
        self.spread(
            session,
            variants,
            &|runner, variant| {
                begun(variant);
                runner.run(variant, base, true)
            },
            &CaseRun::add_gaps,
            ended,
        )
    }

    /// Runs variants with two sets, all with the first before any with the second; otherwise like [`Suite::run`].
    pub fn run_both(
        &self,
        session: Session,
        first: (&[Variant], &Candidate),
        second: (&[Variant], &Candidate),
        begun: &(dyn Fn(&Variant) + Sync),
        ended: &mut dyn FnMut(&CaseRun),
    ) -> (Vec<CaseRun>, Vec<CaseRun>) {
        let jobs = [first, second]
            .into_iter()
            .flat_map(|(variants, set)| variants.iter().map(move |v| (v, set)));
        let jobs: Vec<(&Variant, &Candidate)> = jobs.collect();
        let work = |runner: &mut Runner<'_>, (variant, set): &(&Variant, &Candidate)| {
            begun(variant);
            runner.run(variant, set, true)
        };
        let mut runs = self.spread(session, &jobs, &work, &CaseRun::add_gaps, ended);
        let of_second = runs.split_off(first.0.len());
        (runs, of_second)
    }

    /// Proves the guards of every variant; `begun` and `ended` as for [`Suite::run`]. Guards that did not start
    /// before the deadline are inconclusive.
    pub fn prove(
        &self,
        session: Session,
        variants: &[Variant],
        begun: &(dyn Fn(&Variant) + Sync),
        ended: &mut dyn FnMut(&[Proof]),
    ) -> Vec<Vec<Proof>> {
        let set = &self.prepared.base.set;
        let work = |runner: &mut Runner<'_>, variant: &Variant| {
            begun(variant);
            let known = runner.known(variant, set);
            prove(runner, self.prepared, variant, &known, &mut |_| {})
        };
        let add_gaps = |proofs: &mut Vec<Proof>, gaps: Vec<String>| {
            if let Some(last) = proofs.last_mut() {
                last.add_gaps(gaps);
            }
        };
        self.spread(session, variants, &work, &add_gaps, &mut |proofs: &Vec<Proof>| {
            ended(proofs);
        })
    }

    /// Each machine takes the next variant as soon as it is free. `add_gaps` adds what a machine's log still held at
    /// the end to the machine's last result.
    fn spread<J: Job, T: Send>(
        &self,
        session: Session,
        variants: &[J],
        work: &(dyn Fn(&mut Runner<'_>, &J) -> T + Sync),
        add_gaps: &(dyn Fn(&mut T, Vec<String>) + Sync),
        ended: &mut dyn FnMut(&T),
    ) -> Vec<T> {
        let next = AtomicUsize::new(0);
        let first = Mutex::new(Some(session));
        let (done, results) = mpsc::channel();
        thread::scope(|scope| {
            for _ in 0..self.bounds.jobs.clamp(1, variants.len().max(1)) {
                let (done, next, first) = (done.clone(), &next, &first);
                scope.spawn(move || {
                    let session = first.lock().unwrap_or_else(PoisonError::into_inner).take();
                    let mut runner = Runner::new(self.data, self.prepared, self.backend, session)
                        .until(self.bounds.deadline);
                    let mine = std::iter::from_fn(|| {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        variants.get(index).map(|variant| (index, variant))
                    });
                    all_of_one_machine(
                        &mut runner,
                        mine,
                        |runner, (_, job)| runner.may_exchange_machine_for(job.variant()),
                        |runner, (index, variant)| (index, work(runner, variant)),
                        |runner, (_, result)| add_gaps(result, runner.last_gaps()),
                        // The receiver lives until every thread has ended.
                        |result| drop(done.send(result)),
                    );
                });
            }
            drop(done);
            in_order(results, ended)
        })
    }
}

/// Something to do with a variant.
trait Job: Sync {
    fn variant(&self) -> &Variant;
}

impl Job for Variant {
    fn variant(&self) -> &Variant {
        self
    }
}

impl Job for (&Variant, &Candidate) {
    fn variant(&self) -> &Variant {
        self.0
    }
}

/// Does all jobs on one machine. Each result is reported before the next job begins. The last one, and each one after
/// which the machine may be exchanged, is reported after `end` was called with it.
fn all_of_one_machine<M, J, T>(
    machine: &mut M,
    jobs: impl Iterator<Item = J>,
    may_exchange: impl Fn(&M, &J) -> bool,
    work: impl Fn(&mut M, J) -> T,
    end: impl Fn(&mut M, &mut T),
    tell: impl Fn(T),
) {
    let mut last = None;
    for job in jobs {
        if let Some(mut result) = last.take() {
            if may_exchange(machine, &job) {
                end(machine, &mut result);
            }
            tell(result);
        }
        last = Some(work(machine, job));
    }
    if let Some(mut result) = last {
        end(machine, &mut result);
        tell(result);
    }
}

/// Collects results by their index, and reports each as soon as all before it are there.
fn in_order<T>(results: mpsc::Receiver<(usize, T)>, ended: &mut dyn FnMut(&T)) -> Vec<T> {
    let mut early = BTreeMap::new();
    let mut all = Vec::new();
    for (index, result) in results {
        early.insert(index, result);
        while let Some(result) = early.remove(&all.len()) {
            ended(&result);
            all.push(result);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_told_in_order_whatever_order_they_come_in() {
        let (send, receive) = mpsc::channel();
        for index in [2, 0, 3, 1] {
            send.send((index, index * 10)).unwrap();
        }
        drop(send);
        let mut told = Vec::new();
        let all = in_order(receive, &mut |result| told.push(*result));
        assert_eq!(all, [0, 10, 20, 30]);
        assert_eq!(told, all);
    }

    #[test]
    fn the_last_result_of_a_machine_is_told_after_its_end_and_the_others_as_they_come() {
        let told = std::cell::RefCell::new(Vec::new());
        let work = |_: &mut (), job: usize| {
            assert_eq!(told.borrow().len(), job);
            vec![job]
        };
        let end = |_: &mut (), result: &mut Vec<usize>| result.push(99);
        let exchange_for_2 = |_: &(), job: &usize| *job == 2;
        all_of_one_machine(&mut (), 0..3, exchange_for_2, work, end, |result| {
            told.borrow_mut().push(result);
        });
        assert_eq!(told.into_inner(), [vec![0], vec![1, 99], vec![2, 99]]);
        let nothing = |_: &mut (), _: usize| unreachable!("there is no job");
        let end = |_: &mut (), _: &mut ()| unreachable!();
        all_of_one_machine(&mut (), 0..0, |_, _| false, nothing, end, |()| {});
    }

    #[test]
    fn time_that_is_spent_is_not_given_again() {
        let bounds = Bounds::new(2, Duration::from_secs(5), Duration::from_secs(9));
        assert!(bounds.deadline <= Instant::now());
    }
}
