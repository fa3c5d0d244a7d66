//! The schedule under a clock that only moves when nothing else can.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use collector::error::{Error, ErrorType, code};
use collector::event::Request;
use collector::report::Report;

use super::*;
use crate::stop;

fn ended(status: Status) -> Outcome {
    let mut report = Report::new("a-service", &Request::default());
    report.status = status;
    Outcome { report, failure: None, story: Vec::new() }
}

fn failed() -> Outcome {
    let failure = Error::new(ErrorType::SetupError, code::LOGIN, "no token");
    Outcome { failure: Some(failure), ..ended(Status::UpToDate) }
}

/// Plays a script, each turn lasting a second, and notes when turns began and how many ran at once.
struct Scripted {
    script: VecDeque<Outcome>,
    began: Arc<Mutex<Vec<u64>>>,
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    epoch: Instant,
    head_start_of_others: Duration,
}

impl Scripted {
    fn new(script: impl IntoIterator<Item = Outcome>) -> Self {
        Self {
            script: script.into_iter().collect(),
            began: Arc::default(),
            running: Arc::default(),
            most: Arc::default(),
            epoch: Instant::now(),
            head_start_of_others: Duration::ZERO,
        }
    }
}

impl Turn for Scripted {
    fn period(&self) -> Duration {
        Duration::from_secs(100)
    }

    fn head_start_of_others(&self) -> Duration {
        self.head_start_of_others
    }

    async fn play(&mut self) -> Outcome {
        self.began.lock().unwrap().push(self.epoch.elapsed().as_secs());
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.running.fetch_sub(1, Ordering::SeqCst);
        self.script.pop_front().unwrap_or_else(|| ended(Status::Disabled))
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_turn_ended_with_decides_when_the_next_one_begins() {
    let cases = [
        (vec![ended(Status::UpToDate), ended(Status::UpToDate)], vec![0, 100, 200]),
        (vec![ended(Status::More), ended(Status::UpToDate)], vec![0, 1, 101]),
        (vec![ended(Status::Throttled), ended(Status::Locked)], vec![0, 15, 30]),
        (vec![ended(Status::NotDue)], vec![0, 60]),
        (vec![failed(), failed(), failed(), ended(Status::UpToDate)], vec![0, 5, 15, 35, 135]),
        (vec![failed(), ended(Status::UpToDate), failed()], vec![0, 5, 105, 110]),
        (vec![], vec![0]),
    ];
    for (script, expected) in cases {
        let (_stopper, stop) = stop::pair();
        let service = Scripted::new(script);
        let began = Arc::clone(&service.began);
        run(vec![service], 4, stop).await;
        assert_eq!(*began.lock().unwrap(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_follows_others_keeps_its_distance() {
    let (stopper, stop) = stop::pair();
    let mut service = Scripted::new([ended(Status::UpToDate), ended(Status::UpToDate)]);
    service.head_start_of_others = Duration::from_secs(30);
    let began = Arc::clone(&service.began);
    run(vec![service], 4, stop.clone()).await;
    assert_eq!(*began.lock().unwrap(), [30, 130, 230]);

    let mut late = Scripted::new([]);
    late.head_start_of_others = Duration::from_secs(3_600);
    let (epoch, began) = (late.epoch, Arc::clone(&late.began));
    stopper.stop();
    run(vec![late], 4, stop).await;
    assert_eq!(
        (epoch.elapsed(), began.lock().unwrap().len()),
        (Duration::ZERO, 0),
        "a stop does not wait for it"
    );
}

#[test]
fn pauses_after_failures_grow_to_a_bound_and_never_beyond_the_period() {
    let pause =
        |failures, period| pause_after(&failed(), Duration::from_secs(period), failures).unwrap().as_secs();
    let pauses: Vec<_> = [1, 2, 3, 6, 7, 8, u32::MAX].map(|failures| pause(failures, 86_400)).to_vec();
    assert_eq!(pauses, [5, 10, 20, 160, 300, 300, 300]);
    assert_eq!(pause(9, 60), 60);
}

#[tokio::test(start_paused = true)]
async fn no_more_services_run_at_once_than_there_are_slots_and_all_get_their_turn() {
    let first = Scripted::new([]);
    let services: Vec<_> = (0..10)
        .map(|_| Scripted {
            script: VecDeque::new(),
            began: Arc::clone(&first.began),
            running: Arc::clone(&first.running),
            most: Arc::clone(&first.most),
            epoch: first.epoch,
            head_start_of_others: Duration::ZERO,
        })
        .collect();
    let (_stopper, stop) = stop::pair();
    run(services, 3, stop).await;
    assert_eq!(first.most.load(Ordering::SeqCst), 3);
    assert_eq!(first.began.lock().unwrap().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_running_turns_end_and_starts_no_new_one() {
    let (stopper, stop) = stop::pair();
    let service = Scripted::new((0..100).map(|_| ended(Status::More)));
    let (began, running) = (Arc::clone(&service.began), Arc::clone(&service.running));
    let schedule = tokio::spawn(run(vec![service], 1, stop));
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    stopper.stop();
    schedule.await.unwrap();
    assert_eq!(*began.lock().unwrap(), [0, 1, 2]);
    assert_eq!(running.load(Ordering::SeqCst), 0, "the third turn ran to its end");
}

/// A turn that never ends by itself.
struct Stuck;

impl Turn for Stuck {
    fn period(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn play(&mut self) -> Outcome {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_does_not_end_in_time_is_cut_off() {
    let (stopper, stop) = stop::pair();
    let started = Instant::now();
    stopper.stop();
    let asked_later = {
        let (stopper, stop) = stop::pair();
        let schedule = tokio::spawn(run(vec![Stuck], 1, stop));
        tokio::time::sleep(Duration::from_secs(1)).await;
        stopper.stop();
        schedule
    };
    run(vec![Stuck], 1, stop).await;
    assert_eq!(started.elapsed(), Duration::from_secs(1), "nothing was started");
    asked_later.await.unwrap();
    assert_eq!(started.elapsed(), Duration::from_secs(1) + GRACE);
}
