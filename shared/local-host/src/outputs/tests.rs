//! What is printed, what is proven, and what a failure leaves behind.

use super::*;

fn event<'a>(tag: &'a str, message: &'a [u8]) -> Event<'a> {
    Event { time: Timestamp::UNIX_EPOCH, tag, message }
}

/// A writer that fails once it holds more than `room` bytes.
struct Narrow {
    room: usize,
    held: Vec<u8>,
}

impl Write for Narrow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.held.len() + bytes.len() > self.room {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe));
        }
        self.held.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn narrow(room: usize) -> (Arc<Mutex<Narrow>>, Output) {
    let writer = Arc::new(Mutex::new(Narrow { room, held: Vec::new() }));
    let target: Arc<Mutex<dyn Write + Send>> = Arc::clone(&writer) as _;
    (writer, Output::Lines(Lines::new(Target::Writer(target))))
}

fn of(each: Vec<Output>) -> Outputs {
    Outputs { each, certificates: Vec::new() }
}

fn text_of(writer: &Mutex<Narrow>) -> String {
    String::from_utf8(writer.lock().unwrap().held.clone()).unwrap()
}

#[tokio::test]
async fn a_records_bytes_stay_as_they_are_and_what_is_no_json_becomes_a_text() {
    let cases: [(&[u8], &str); 5] = [
        (br#"{"b": 1.50,  "a":"\u00e9"}"#, r#"{"tag":"my.app.t","message":{"b": 1.50,  "a":"\u00e9"}}"#),
        (b"[1, 2]", r#"{"tag":"my.app.t","message":[1, 2]}"#),
        (br#"no "json""#, r#"{"tag":"my.app.t","message":"no \"json\""}"#),
        (b"\xff{", "{\"tag\":\"my.app.t\",\"message\":\"\u{fffd}{\"}"),
        (b"", r#"{"tag":"my.app.t","message":""}"#),
    ];
    for (message, line) in cases {
        let (writer, only) = narrow(1_000);
        let mut output = of(vec![only]);
        let size = output.append(&event("my.app.t", message));
        assert_eq!(text_of(&writer), "", "nothing is written before the delivery");
        assert_eq!(output.deliver(Timestamp::MAX).await.unwrap().events, 1);
        assert_eq!(text_of(&writer), format!("{line}\n"));
        assert_eq!(size, line.len() + 1);
    }
}

#[tokio::test]
async fn a_file_keeps_what_it_held_and_gains_whole_batches() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    for number in ["1", "2", "3"] {
        let mut output = Outputs::records_to_file(&path);
        output.append(&event("t", number.as_bytes()));
        if number == "2" {
            output.discard();
        }
        let end = output.deliver(Timestamp::MAX).await.unwrap();
        assert_eq!(end.events, u64::from(number != "2"));
    }
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, "{\"tag\":\"t\",\"message\":1}\n{\"tag\":\"t\",\"message\":3}\n");
    let refused = {
        let mut output = Outputs::records_to_file(folder.path());
        output.append(&event("t", b"4"));
        output.deliver(Timestamp::MAX).await.unwrap_err()
    };
    assert_eq!((refused.error_type, refused.code), (ErrorType::DeliveryError, code::UNREACHABLE));
}

#[tokio::test]
async fn a_pull_prints_records_alone_and_a_configured_output_the_story_too() {
    let story = event("devo.collectors.out.local.info", b"{}");
    let (all, with_story) = narrow(1_000);
    let records = Arc::new(Mutex::new(Narrow { room: 1_000, held: Vec::new() }));
    let mut each = Outputs::records_to_writer(Arc::clone(&records) as _).each;
    each.push(with_story);
    let mut outputs = of(each);
    outputs.append(&event("t", b"1"));
    outputs.append(&story);
    assert_eq!(outputs.deliver(Timestamp::MAX).await.unwrap().events, 2);
    assert_eq!(text_of(&records), "{\"tag\":\"t\",\"message\":1}\n");
    assert_eq!(text_of(&all).lines().count(), 2);
}

#[tokio::test]
async fn each_output_of_several_gets_each_event() {
    let (first, one) = narrow(1_000);
    let (second, two) = narrow(1_000);
    let mut fan = of(vec![one, two]);
    fan.prepare().await;
    fan.append(&event("t", b"1"));
    fan.append(&event("t", b"2"));
    assert_eq!(fan.deliver(Timestamp::MAX).await.unwrap().events, 2);
    assert_eq!(text_of(&first), text_of(&second));
    assert_eq!(text_of(&first).lines().count(), 2);
}

#[tokio::test]
async fn a_batch_is_proven_only_when_every_output_took_it_and_a_failure_empties_all_of_them() {
    for failing in 0..3 {
        let (writers, outputs): (Vec<_>, Vec<_>) =
            (0..3).map(|index| narrow(if index == failing { 0 } else { 1_000 })).unzip();
        let mut fan = of(outputs);
        fan.append(&event("t", b"1"));
        let failure = fan.deliver(Timestamp::MAX).await.unwrap_err();
        assert_eq!((failure.error_type, failure.code), (ErrorType::DeliveryError, code::UNREACHABLE));
        assert_eq!(fan.deliver(Timestamp::MAX).await.unwrap().events, 0, "the batch is gone");
        for (index, writer) in writers.iter().enumerate() {
            assert_eq!(
                text_of(writer).is_empty(),
                index >= failing,
                "output {index} of a fan failing at {failing}"
            );
        }
    }
}
