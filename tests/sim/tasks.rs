//! Every task of a run, on one thread. The run decides which of those that can go on does so next.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
};

use fastrand::Rng;

/// A task ends with the program if it belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Program,
    Outside,
}

#[derive(Default)]
pub struct Tasks(Vec<Task>);

struct Task {
    owner: Owner,
    name: &'static str,
    future: Pin<Box<dyn Future<Output = ()>>>,
    ready: Arc<Ready>,
    waker: Waker,
}

struct Ready(AtomicBool);

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Tasks {
    pub fn add(&mut self, owner: Owner, name: &'static str, future: impl Future<Output = ()> + 'static) {
        let ready = Arc::new(Ready(AtomicBool::new(true)));
        let waker = ready.clone().into();
        self.0.push(Task { owner, name, future: Box::pin(future), ready, waker });
    }

    /// Lets one task that can go on do so, and returns its name.
    pub fn step(&mut self, rng: &mut Rng) -> Option<&'static str> {
        let count = self.0.iter().filter(|task| task.is_ready()).count();
        let chosen = (count > 0).then(|| rng.usize(..count))?;
        let (index, _) = self.0.iter().enumerate().filter(|(_, task)| task.is_ready()).nth(chosen)?;
        let task = &mut self.0[index];
        let name = task.name;
        task.ready.0.store(false, Ordering::Relaxed);
        if task.future.as_mut().poll(&mut Context::from_waker(&task.waker)).is_ready() {
            self.0.remove(index);
        }
        Some(name)
    }

    pub fn has_ready(&self) -> bool {
        self.0.iter().any(Task::is_ready)
    }

    /// Drops the tasks of the program, wherever they wait.
    pub fn kill(&mut self) {
        self.0.retain(|task| task.owner == Owner::Outside);
    }
}

impl Task {
    fn is_ready(&self) -> bool {
        self.ready.0.load(Ordering::Relaxed)
    }
}
