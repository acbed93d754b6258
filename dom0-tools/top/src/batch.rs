//! Prints for programs: the table, or JSON, again and again.

use crate::sample::Sample;
use crate::table::{Order, Shown, lines};
use std::io::{self, Write};

/// In which form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// The table.
    Table(Shown),
    /// An object in a line.
    Json,
}

/// Prints what each look sees, `iterations` times or for ever. Between two looks it `waits`.
///
/// # Errors
///
/// Of the looks, and of the output; nobody who reads it any more is none.
pub fn print(
    out: &mut impl Write,
    form: Form,
    iterations: Option<u64>,
    mut look: impl FnMut() -> io::Result<Sample>,
    mut wait: impl FnMut(),
) -> io::Result<()> {
    let mut former: Option<Sample> = None;
    let mut done = 0;
    while iterations.is_none_or(|most| done < most) {
        if done > 0 {
            wait();
        }
        let sample = look()?;
        match write(out, form, &sample, former.as_ref()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            other => other?,
        }
        former = Some(sample);
        done += 1;
    }
    Ok(())
}

fn write(
    out: &mut impl Write,
    form: Form,
    sample: &Sample,
    former: Option<&Sample>,
) -> io::Result<()> {
    match form {
        Form::Table(shown) => {
            for line in lines(sample, former, shown, Order::default()) {
                writeln!(out, "{}", line.text())?;
            }
        }
        Form::Json => {
            serde_json::to_writer(&mut *out, sample)?;
            writeln!(out)?;
        }
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::sample;
    use std::time::Duration;

    fn printed(form: Form, iterations: u64) -> (String, u32) {
        let mut out = Vec::new();
        let mut waits = 0;
        let mut seen = 0;
        let look = || {
            let mut sample = sample();
            seen += 1;
            sample.at += Duration::from_secs(seen * 3);
            sample.domains[0].cpu_ns += seen * 1_500_000_000;
            Ok(sample)
        };
        print(&mut out, form, Some(iterations), look, || waits += 1).unwrap();
        (String::from_utf8(out).unwrap(), waits)
    }

    #[test]
    fn tables_follow_each_other() {
        let (text, waits) = printed(Form::Table(Shown::default()), 2);
        assert_eq!(waits, 1);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 6);
        assert_eq!(lines[0], lines[3]);
        assert!(lines[1].starts_with("  Domain-0 -----r       2313    0.0 "));
        assert!(lines[4].starts_with("  Domain-0 -----r       2314   50.0 "));
        assert_eq!(
            printed(Form::Table(Shown::default()), 0),
            (String::new(), 0)
        );
    }

    #[test]
    fn json_has_exact_numbers() {
        let (text, _) = printed(Form::Json, 1);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["at_ns"], 103_000_000_000_u64);
        assert_eq!(value["idle_ns"].as_array().unwrap().len(), 4);
        assert_eq!(value["domains"][1]["name"], "etch");
        assert_eq!(value["domains"][1]["limit_kib"], 131_072);
        assert_eq!(value["domains"][0]["cpu_ns"], 2_313_400_000_000_u64);
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn who_reads_no_more_ends_it() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let form = Form::Table(Shown::default());
        print(&mut Closed, form, None, || Ok(sample()), || panic!()).unwrap();
    }
}
