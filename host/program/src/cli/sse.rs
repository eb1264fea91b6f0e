//! Reading server-sent events (WHATWG HTML, 9.2), as far as a host sends them.

use std::io::BufRead;

/// An event of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) event: String,
    pub(super) data: String,
}

/// The next event of `stream`; none at its end.
pub(super) fn next(stream: &mut impl BufRead) -> std::io::Result<Option<Message>> {
    let mut message = Message::default();
    let mut has_data = false;
    let mut line = Vec::new();
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line)? == 0 {
            // What is not ended by an empty line does not count.
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\n', '\r']);
        if text.is_empty() {
            if has_data {
                return Ok(Some(message));
            }
            message = Message::default();
            continue;
        }
        let (field, value) = text.split_once(':').unwrap_or((text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => value.clone_into(&mut message.id),
            "event" => value.clone_into(&mut message.event),
            "data" => {
                if has_data {
                    message.data.push('\n');
                }
                message.data.push_str(value);
                has_data = true;
            }
            // An empty field is a comment, and others are for later versions.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_events_and_skips_the_rest() {
        let stream = ": hello\n\nid: 7\nevent: event\ndata: {\ndata: }\n\nretry: 1\n\ndata: x\r\n\r\ndata: broken off";
        let mut stream = stream.as_bytes();
        let first = next(&mut stream).expect("read").expect("an event");
        assert_eq!((first.id.as_str(), first.event.as_str(), first.data.as_str()), ("7", "event", "{\n}"));
        assert_eq!(next(&mut stream).expect("read").expect("an event").data, "x");
        assert_eq!(next(&mut stream).expect("read"), None);
    }
}
