//! A file of events that can be read twice: plain or gzipped, named or piped in.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use flate2::read::MultiGzDecoder;
use indicatif::ProgressBar;

/// The first bytes of a gzip file (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Some programs begin a UTF-8 text with this.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

const BUFFER_BYTES: usize = 1 << 20;

/// A file of events.
#[derive(Debug)]
pub struct ImportFile {
    file: File,
    /// As it is named in faults.
    name: String,
    bytes: u64,
    is_gzip: bool,
}

/// The lines of a file.
pub(super) struct Lines<'a> {
    reader: BufReader<Box<dyn Read + 'a>>,
    line: Vec<u8>,
    number: u64,
    bytes_max: usize,
}

impl ImportFile {
    /// Opens the file at `path`; `-` is standard input. What can't be read twice is
    /// copied into a file without a name first.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            return Self::spool(std::io::stdin().lock(), "standard input".to_owned());
        }
        let name = path.display().to_string();
        let file = File::open(path).with_context(|| format!("cannot open `{name}`"))?;
        let metadata = file.metadata().with_context(|| format!("cannot look at `{name}`"))?;
        if metadata.is_dir() {
            bail!("`{name}` is a folder: name a file of JSON lines");
        }
        if metadata.is_file() { Self::new(file, name) } else { Self::spool(file, name) }
    }

    fn spool(mut source: impl Read, name: String) -> anyhow::Result<Self> {
        let mut file = tempfile::tempfile().context("cannot make a file for what is piped in")?;
        std::io::copy(&mut source, &mut file)
            .with_context(|| format!("cannot copy {name} into a file, to read it twice"))?;
        Self::new(file, name)
    }

    fn new(mut file: File, name: String) -> anyhow::Result<Self> {
        let read = |source: std::io::Error| anyhow::Error::new(source).context(format!("cannot read `{name}`"));
        file.rewind().map_err(read)?;
        let mut start = Vec::with_capacity(GZIP.len());
        (&file).take(GZIP.len() as u64).read_to_end(&mut start).map_err(read)?;
        let bytes = file.metadata().map_err(read)?.len();
        Ok(Self { file, bytes, is_gzip: start == GZIP, name })
    }

    /// As it is named in faults.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its size; that of what is packed, if it is packed.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its lines from the start, each of at most `bytes_max` bytes. `bar` shows how far
    /// reading has come.
    pub(super) fn lines<'a>(&'a mut self, bytes_max: usize, bar: &ProgressBar) -> anyhow::Result<Lines<'a>> {
        self.file.rewind().with_context(|| format!("cannot read `{}` again", self.name))?;
        let counted = bar.wrap_read(&self.file);
        let reader: Box<dyn Read + 'a> =
            if self.is_gzip { Box::new(MultiGzDecoder::new(counted)) } else { Box::new(counted) };
        Ok(Lines { reader: BufReader::with_capacity(BUFFER_BYTES, reader), line: Vec::new(), number: 0, bytes_max })
    }
}

impl Lines<'_> {
    /// The next line that is not empty, without its end, and its number.
    pub(super) fn next(&mut self) -> Result<Option<(u64, &[u8])>, String> {
        loop {
            self.line.clear();
            self.number += 1;
            // One byte more than is allowed tells a line that is too long.
            let bound = self.bytes_max as u64 + 1;
            let read = (&mut self.reader).take(bound).read_until(b'\n', &mut self.line);
            match read {
                Err(fault) => return Err(format!("line {} cannot be read: {fault}", self.number)),
                Ok(0) => return Ok(None),
                Ok(read) if read as u64 == bound && !self.line.ends_with(b"\n") => {
                    return Err(format!(
                        "line {} is longer than {} bytes, which no event needs",
                        self.number, self.bytes_max
                    ));
                }
                Ok(_) => {}
            }
            let skipped =
                if self.number == 1 && self.line.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
            if !self.line[skipped..].trim_ascii().is_empty() {
                return Ok(Some((self.number, self.line[skipped..].trim_ascii_end())));
            }
        }
    }
}
