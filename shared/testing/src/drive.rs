//! Drives invocations step by step: to their end, to a crash, or two in turn.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

/// Gives control back once: every effect of a simulated port has one before and one after it.
pub async fn step() {
    let mut has_stepped = false;
    std::future::poll_fn(move |context| {
        if has_stepped {
            return Poll::Ready(());
        }
        has_stepped = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What came of driving an invocation for a number of steps.
#[derive(Debug)]
pub enum Driven<T> {
    /// It ended after so many steps.
    Ended(T, usize),
    /// It was still at work: dropped, as a killed process is.
    Crashed,
}

/// Polls `work` for `steps` steps and drops it if it has not ended by then.
pub fn drive<T>(work: impl Future<Output = T>, steps: usize) -> Driven<T> {
    let mut work = pin!(work);
    let mut context = Context::from_waker(Waker::noop());
    for taken in 0..=steps {
        if let Poll::Ready(output) = work.as_mut().poll(&mut context) {
            return Driven::Ended(output, taken);
        }
    }
    Driven::Crashed
}

/// Polls `work` to its end.
pub fn finish<T>(work: impl Future<Output = T>) -> T {
    match drive(work, 10_000_000) {
        Driven::Ended(output, _) => output,
        Driven::Crashed => panic!("the invocation does not end"),
    }
}

/// Polls two invocations to their ends; `choices` says whose turn it is, over and over.
pub fn race<T>(first: impl Future<Output = T>, second: impl Future<Output = T>, choices: &[bool]) -> (T, T) {
    let (mut first, mut second) = (pin!(first), pin!(second));
    let (mut first_output, mut second_output) = (None, None);
    let mut turns = choices.iter().cycle();
    while first_output.is_none() || second_output.is_none() {
        let is_first = *turns.next().unwrap_or(&true);
        if (is_first || second_output.is_some()) && first_output.is_none() {
            first_output = poll_once(first.as_mut());
        } else if second_output.is_none() {
            second_output = poll_once(second.as_mut());
        }
    }
    (first_output.unwrap(), second_output.unwrap())
}

fn poll_once<T>(work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    match work.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
