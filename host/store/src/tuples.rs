//! Rows that PostgreSQL copies out, in the binary form of COPY: see "COPY" in its manual.

/// What the stream begins with; flags and the length of an extension follow.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// Where the field count of a row is, the end of the stream has this.
const END: i16 = -1;

/// The messages of a stream, which are a row each: "Messages sent from the backend will always
/// correspond to single data rows" (Message Formats, `CopyData`).
#[derive(Debug, Default)]
pub(super) struct Tuples {
    has_begun: bool,
}

/// The fields of a row that are not taken yet.
#[derive(Debug)]
pub(super) struct Tuple<'a>(&'a [u8]);

/// The bytes are not what the manual says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server copies rows out in an unknown form: {0}")]
pub(super) struct Malformed(&'static str);

impl Tuples {
    /// The row in `message`, which must have `fields` fields; none at the beginning and the end.
    pub(super) fn next<'a>(&mut self, message: &'a [u8], fields: i16) -> Result<Option<Tuple<'a>>, Malformed> {
        let mut rest = message;
        if !self.has_begun {
            self.has_begun = true;
            rest = rest.strip_prefix(SIGNATURE).ok_or(Malformed("no signature"))?;
            let (flags, extension) = (number(&mut rest)?, number(&mut rest)?);
            if flags != 0 || extension != 0 {
                return Err(Malformed("flags or an extension in its header"));
            }
            if rest.is_empty() {
                return Ok(None);
            }
        }
        let (count, rest) = rest.split_first_chunk().ok_or(CUT_OFF)?;
        match i16::from_be_bytes(*count) {
            END => Ok(None),
            count if count == fields => Ok(Some(Tuple(rest))),
            _ => Err(Malformed("a row of another number of fields")),
        }
    }
}

impl<'a> Tuple<'a> {
    /// The next field; empty if it is null.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        // A null has the length -1.
        let length = usize::try_from(number(&mut self.0)?).unwrap_or(0);
        let (field, rest) = self.0.split_at_checked(length).ok_or(CUT_OFF)?;
        self.0 = rest;
        Ok(field)
    }

    /// The next field, which has so many bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.bytes()?.try_into().map_err(|_| Malformed("a number, time or id of another length"))
    }
}

const CUT_OFF: Malformed = Malformed("a row that is cut off");

fn number(rest: &mut &[u8]) -> Result<i32, Malformed> {
    let (number, behind) = rest.split_first_chunk().ok_or(CUT_OFF)?;
    *rest = behind;
    Ok(i32::from_be_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
    const ROW: &[u8] = b"\0\x03\0\0\0\x02ab\xff\xff\xff\xff\0\0\0\x04\0\0\0\x07";

    fn read(messages: &[&[u8]]) -> Result<Vec<String>, Malformed> {
        let (mut tuples, mut rows) = (Tuples::default(), Vec::new());
        for message in messages {
            let Some(mut fields) = tuples.next(message, 3)? else { continue };
            let (text, null) = (fields.bytes()?, fields.bytes()?);
            rows.push(format!("{} {} {}", text.escape_ascii(), null.len(), u32::from_be_bytes(fields.array()?)));
        }
        Ok(rows)
    }

    #[test]
    fn reads_rows_with_nulls() {
        let check = |messages: &[&[u8]], rows: &[&str]| assert_eq!(read(messages).expect("rows"), rows);
        let (first, alone) = ([HEADER, ROW].concat(), [HEADER, b"\xff\xff"].concat());
        check(&[&first, ROW, b"\xff\xff"], &["ab 0 7", "ab 0 7"]);
        check(&[HEADER, ROW, b"\xff\xff"], &["ab 0 7"]);
        check(&[&alone], &[]);
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        let check = |message: &[u8], expected: &str| {
            let told = read(&[HEADER, message]).expect_err(expected).to_string();
            assert!(told.contains(expected), "{told} should say {expected}");
        };
        assert_eq!(read(&[ROW]), Err(Malformed("no signature")));
        assert!(read(&[b"PGCOPY\n\xff\r\n\0\0\x01\0\0\0\0\0\0"]).is_err(), "rows with object ids");
        check(b"\0\x02\0\0\0\0\0\0\0\0", "number of fields");
        check(b"\0\x03\0\0\0\x02ab\xff\xff\xff\xff\0\0\0\x02\0\x07", "another length");
        (1..ROW.len()).for_each(|length| check(&ROW[..length], "cut off"));
    }
}
