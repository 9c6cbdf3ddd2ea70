//! Which process started which, as the kernel reports it: pure bookkeeping.

use std::collections::{BTreeMap, BTreeSet};

/// A change in the tree of processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A process or a thread was started.
    Fork {
        /// Id of the process that started it.
        parent: i32,
        /// Its own id. A thread's id differs from that of its process.
        pid: i32,
        /// Id of the process that it belongs to.
        tgid: i32,
    },
    /// A process or a thread has ended.
    Exit {
        /// Its id.
        pid: i32,
    },
}

#[derive(Debug, Clone)]
struct Node {
    pid: i32,
    is_thread: bool,
    parent: Option<usize>,
    alive: bool,
    owner: Option<String>,
}

/// Every process that was started since the tree was last cleared, including dead ones.
///
/// If an id is reused, the second process gets a new node, so that it does not inherit the owner of the first.
#[derive(Debug, Default)]
pub struct Tree {
    nodes: Vec<Node>,
    /// The newest node of each id.
    newest: BTreeMap<i32, usize>,
    /// Processes that keep their owner for longer than a case.
    lasting: BTreeMap<String, i32>,
    /// Owners that keep all their living processes.
    kept: BTreeSet<String>,
}

impl Tree {
    /// Record an event.
    pub fn note(&mut self, event: Event) {
        match event {
            Event::Fork { parent, pid, tgid } => {
                let parent = Some(self.node(parent));
                self.add(pid, pid != tgid, parent);
            }
            Event::Exit { pid } => {
                if let Some(index) = self.newest.get(&pid) {
                    self.nodes[*index].alive = false;
                }
            }
        }
    }

    /// From here on the process and all its descendants, past and future, belong to `owner`.
    pub fn claim(&mut self, pid: i32, owner: &str) {
        let index = self.node(pid);
        self.nodes[index].owner = Some(owner.into());
    }

    /// Like [`Tree::claim`], but [`Tree::clear`] keeps it until `owner` claims another process.
    pub fn claim_for_good(&mut self, pid: i32, owner: &str) {
        self.lasting.insert(owner.into(), pid);
        self.claim(pid, owner);
    }

    /// [`Tree::clear`] leaves the living processes of `owner`, with their threads, until [`Tree::release`].
    pub fn keep(&mut self, owner: &str) {
        self.kept.insert(owner.into());
    }

    /// Undoes [`Tree::keep`]. The processes stay until [`Tree::clear`].
    pub fn release(&mut self, owner: &str) {
        self.kept.remove(owner);
    }

    /// Forget every process except those that were claimed for good, and those of kept owners.
    pub fn clear(&mut self) {
        let living = (0..self.nodes.len()).filter(|index| self.nodes[*index].alive);
        let kept: Vec<Node> = living
            .filter_map(|index| {
                let owner = self.owner_of(index).filter(|owner| self.kept.contains(*owner))?;
                Some(Node {
                    parent: None,
                    owner: Some(owner.to_owned()),
                    ..self.nodes[index].clone()
                })
            })
            .collect();
        self.nodes.clear();
        self.newest.clear();
        for node in kept {
            self.newest.insert(node.pid, self.nodes.len());
            self.nodes.push(node);
        }
        for (owner, pid) in self.lasting.clone() {
            self.claim(pid, &owner);
        }
    }

    /// The owner of the process with this id. `None` if none is known, or if the id was used by two owners.
    pub fn owner(&self, pid: i32) -> Option<&str> {
        let mut owners = (0..self.nodes.len())
            .filter(|index| self.nodes[*index].pid == pid)
            .map(|index| self.owner_of(index));
        let first = owners.next()??;
        owners.all(|other| other == Some(first)).then_some(first)
    }

    /// The processes of `owner` whose end was not reported, without threads.
    pub fn living(&self, owner: &str) -> Vec<i32> {
        (0..self.nodes.len())
            .filter(|index| self.nodes[*index].alive && !self.nodes[*index].is_thread)
            .filter(|index| self.owner_of(*index) == Some(owner))
            .map(|index| self.nodes[index].pid)
            .collect()
    }

    fn node(&mut self, pid: i32) -> usize {
        match self.newest.get(&pid) {
            Some(index) => *index,
            None => self.add(pid, false, None),
        }
    }

    fn add(&mut self, pid: i32, is_thread: bool, parent: Option<usize>) -> usize {
        self.nodes.push(Node {
            pid,
            is_thread,
            parent,
            alive: true,
            owner: None,
        });
        let index = self.nodes.len() - 1;
        self.newest.insert(pid, index);
        index
    }

    /// The owner of the nearest claimed ancestor. A parent is always older than its child, so this ends.
    fn owner_of(&self, index: usize) -> Option<&str> {
        let mut at = Some(index);
        while let Some(index) = at {
            let node = &self.nodes[index];
            if node.owner.is_some() {
                return node.owner.as_deref();
            }
            at = node.parent;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fork(parent: i32, pid: i32) -> Event {
        Event::Fork {
            parent,
            pid,
            tgid: pid,
        }
    }

    fn tree(events: &[Event]) -> Tree {
        let mut tree = Tree::default();
        for event in events {
            tree.note(*event);
        }
        tree
    }

    #[test]
    fn a_process_that_forks_twice_still_belongs_to_its_ancestor() {
        let mut tree = tree(&[
            fork(1, 10),
            fork(10, 11),
            Event::Exit { pid: 10 },
            fork(11, 12),
            Event::Exit { pid: 11 },
        ]);
        tree.claim(10, "d");
        assert_eq!(tree.owner(12), Some("d"));
        assert_eq!(tree.living("d"), [12]);
        assert_eq!(tree.owner(1), None);
    }

    #[test]
    fn the_nearest_claim_counts() {
        let mut tree = tree(&[fork(1, 10), fork(10, 20)]);
        tree.claim(1, "agent");
        tree.claim(20, "g");
        assert_eq!((tree.owner(10), tree.owner(20)), (Some("agent"), Some("g")));
    }

    #[test]
    fn a_number_of_two_owners_is_nobodys() {
        let mut tree = tree(&[fork(1, 10), fork(2, 20)]);
        tree.claim(10, "a");
        tree.claim(20, "b");
        for event in [fork(10, 30), Event::Exit { pid: 30 }, fork(20, 30)] {
            tree.note(event);
        }
        assert_eq!(tree.owner(30), None);
        // A process without an owner makes it ambiguous too.
        for event in [fork(10, 40), Event::Exit { pid: 40 }, fork(99, 40)] {
            tree.note(event);
        }
        assert_eq!(tree.owner(40), None);
        assert_eq!(tree.living("a"), [10]);
    }

    #[test]
    fn threads_have_an_owner_and_are_no_processes() {
        let mut tree = tree(&[
            fork(1, 10),
            Event::Fork {
                parent: 10,
                pid: 11,
                tgid: 10,
            },
        ]);
        tree.claim(10, "d");
        assert_eq!(tree.owner(11), Some("d"));
        assert_eq!(tree.living("d"), [10]);
    }

    #[test]
    fn what_a_kept_owner_runs_outlives_a_case_and_what_has_ended_does_not() {
        let thread = |pid| Event::Fork {
            parent: 10,
            pid,
            tgid: 10,
        };
        let mut tree = tree(&[fork(1, 10), thread(11), fork(10, 12), fork(10, 13)]);
        tree.claim(10, "d");
        tree.claim(20, "e");
        tree.note(Event::Exit { pid: 13 });
        tree.keep("d");
        tree.clear();
        let owners = [10, 11, 12, 13, 20].map(|pid| tree.owner(pid));
        assert_eq!(owners, [Some("d"), Some("d"), Some("d"), None, None]);
        assert_eq!(tree.living("d"), [10, 12]);
        // What it starts afterwards is its own too.
        tree.note(fork(12, 30));
        assert_eq!(tree.owner(30), Some("d"));
        tree.release("d");
        tree.clear();
        assert_eq!(tree.owner(10), None);
    }

    #[test]
    fn only_what_is_claimed_for_good_outlives_a_case() {
        let mut tree = tree(&[fork(1, 5), fork(1, 10)]);
        tree.claim_for_good(5, "canary");
        tree.claim(10, "d");
        tree.clear();
        assert_eq!((tree.owner(5), tree.owner(10)), (Some("canary"), None));
    }
}
