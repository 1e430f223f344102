use super::*;

const MS: fn(u64) -> Duration = Duration::from_millis;

/// What all candidates see: the Lease as the API server holds it.
#[derive(Default)]
struct Store {
    record: Option<Record>,
    version: u64,
}

impl Store {
    /// Writes as an API server does: a version that is not the stored one is a conflict.
    fn write(&mut self, attempt: &Attempt, holder: &str, timing: &Timing) -> Option<Record> {
        let transitions = match (attempt, &self.record) {
            (Attempt::Create, None) => 0,
            (
                Attempt::Replace {
                    version,
                    transitions,
                    ..
                },
                Some(stored),
            ) if *version == stored.version => *transitions,
            _ => return None,
        };
        self.version += 1;
        self.record = Some(Record {
            holder: Some(holder.to_owned()),
            renewed: Some(self.version.to_string()),
            duration: timing.lease,
            transitions,
            version: self.version.to_string(),
        });
        self.record.clone()
    }

    fn release(&mut self, candidate: &mut Election, now: Instant) {
        let record = candidate.release(now).unwrap();
        self.version += 1;
        self.record = Some(Record {
            holder: None,
            version: self.version.to_string(),
            ..record
        });
    }
}

/// One round: the candidate looks, and writes if it may.
fn round(candidate: &mut Election, store: &mut Store, now: Instant) {
    candidate.observe(store.record.clone(), now);
    if let Some(attempt) = candidate.attempt(now) {
        let (me, timing) = (candidate.me.clone(), candidate.timing);
        match store.write(&attempt, &me, &timing) {
            Some(record) => candidate.won(record, now, Duration::ZERO),
            None => candidate.failed(now, Duration::ZERO),
        }
    }
}

fn pair(now: Instant) -> (Election, Election) {
    let new = |name: &str| Election::new(name.to_owned(), Timing::default(), now);
    (new("a"), new("b"))
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_before_the_lease_was_looked_for() {
    let now = Instant::now();
    let (a, _) = pair(now);
    assert_eq!(a.attempt(now), None);
    assert_eq!(a.due(), None);
}

#[tokio::test(start_paused = true)]
async fn there_is_never_more_than_one_leader() {
    let start = Instant::now();
    let (mut a, mut b) = pair(start);
    let mut store = Store::default();
    let mut led = [0, 0];
    for step in 0..2_000_u64 {
        let now = start + MS(step * 100);
        // Each is stopped in turn for longer than a Lease lasts, and looks with its own rhythm.
        let stopped = (step / 400) % 3;
        if stopped != 1 && step % 2 == 0 {
            round(&mut a, &mut store, now);
        }
        if stopped != 2 && step % 3 == 0 {
            round(&mut b, &mut store, now);
        }
        let leads = [&a, &b].map(|c| c.leads_until(now).is_some());
        assert!(leads != [true, true], "two leaders in step {step}");
        led[0] += usize::from(leads[0]);
        led[1] += usize::from(leads[1]);
    }
    assert!(led[0] > 300 && led[1] > 300, "each must have led: {led:?}");
    assert!(store.record.unwrap().transitions >= 2);
}

#[tokio::test(start_paused = true)]
async fn a_released_lease_is_taken_at_once() {
    let now = Instant::now();
    let (mut a, mut b) = pair(now);
    let mut store = Store::default();
    round(&mut a, &mut store, now);
    round(&mut b, &mut store, now);
    assert!(a.leads_until(now).is_some() && b.leads_until(now).is_none());
    store.release(&mut a, now + MS(10));
    assert_eq!(
        a.leads_until(now + MS(10)),
        None,
        "who releases has stopped"
    );
    round(&mut b, &mut store, now + MS(11));
    assert!(b.leads_until(now + MS(11)).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_stops_before_another_may_begin() {
    let start = Instant::now();
    let (mut a, mut b) = pair(start);
    let mut store = Store::default();
    round(&mut a, &mut store, start);
    b.observe(store.record.clone(), start);
    let timing = Timing::default();
    let deadline = start + timing.renew_deadline;
    assert!(a.leads_until(deadline - MS(1)).is_some());
    assert_eq!(a.leads_until(deadline), None);
    assert_eq!(b.due(), Some(start + timing.lease));
    assert!(b.due() > Some(deadline));
}

#[tokio::test(start_paused = true)]
async fn a_leader_renews_well_before_its_deadline_and_retries_when_that_fails() {
    let start = Instant::now();
    let (mut a, _) = pair(start);
    let mut store = Store::default();
    round(&mut a, &mut store, start);
    let due = a.due().unwrap();
    assert_eq!(due, start + Timing::default().renew);
    a.failed(due, Duration::ZERO);
    assert_eq!(a.due(), Some(due + Timing::default().retry));
    assert!(a.leads_until(a.due().unwrap()).is_some());
}

#[tokio::test(start_paused = true)]
async fn the_same_replica_takes_its_own_lease_again_after_a_restart() {
    let now = Instant::now();
    let (mut a, _) = pair(now);
    let mut store = Store::default();
    round(&mut a, &mut store, now);
    let (mut again, _) = pair(now);
    round(&mut again, &mut store, now + MS(5));
    assert!(again.leads_until(now + MS(5)).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_sees_another_holder_stops_at_once() {
    let now = Instant::now();
    let (mut a, mut b) = pair(now);
    let mut store = Store::default();
    round(&mut a, &mut store, now);
    store.record.as_mut().unwrap().holder = Some("b".to_owned());
    a.observe(store.record.clone(), now);
    assert_eq!(a.leads_until(now), None);
    round(&mut b, &mut store, now);
    assert!(b.leads_until(now).is_some());
}
