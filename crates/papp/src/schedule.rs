//! `schedule`: the times at which the command of a process runs.
//!
//! The grammar is that of cron's five fields. The result is sets of numbers, so the entrypoint that keeps the time
//! does not parse the text.

use std::fmt;

use crate::duration;
use crate::error::Located;
use crate::table::{Table, broken};

/// The times at which a command runs. All times are UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// At every multiple of this number of seconds since 1970. `1h` is every full hour, whenever the app was started.
    Every {
        /// The seconds, from 1 to those of a day.
        seconds: u32,
        /// The text of the manifest.
        text: String,
    },
    /// At the minutes that cron's five fields describe.
    Cron {
        /// The fields.
        cron: Cron,
        /// The text of the manifest.
        text: String,
    },
}

/// The five fields of cron, each as a set of numbers. Bit N of a set stands for the number N.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cron {
    /// Minutes, 0 to 59.
    pub minutes: u64,
    /// Hours, 0 to 23.
    pub hours: u64,
    /// Days of the month, 1 to 31.
    pub days: u64,
    /// Months, 1 to 12.
    pub months: u64,
    /// Days of the week, 0 to 6, beginning with Sunday.
    pub weekdays: u64,
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every { text, .. } => write!(f, "every {text}"),
            Self::Cron { text, .. } => write!(f, "cron {text}"),
        }
    }
}

const SCHEDULE: &[&str] = &["every", "cron"];
const EVERY: &str = "be a time in whole seconds such as \"30s\", \"15m\" or \"1h\", at most a day";
const CRON: &str = "be five fields such as \"15 3 * * mon-fri\" that name a day that exists, or one of @hourly, @daily, @weekly, @monthly and @yearly";

impl Schedule {
    /// Reads the table `schedule` of a process.
    pub(crate) fn read(process: &Table<'_>) -> Result<Option<Self>, Located> {
        let Some((table, span)) = process.table("schedule")? else {
            return Ok(None);
        };
        let table = Table::open(&process.path("schedule"), table, span, SCHEDULE)?;
        match (table.string("every")?, table.string("cron")?) {
            (Some(every), None) => {
                let time = duration::parse(&every.value).filter(|time| time.subsec_nanos() == 0);
                let seconds = time.and_then(|time| u32::try_from(time.as_secs()).ok());
                let seconds = seconds.ok_or_else(|| broken(&table.path("every"), EVERY, every.span))?;
                Ok(Some(Self::Every { seconds, text: every.value }))
            }
            (None, Some(cron)) => {
                let fields = Cron::parse(&cron.value).ok_or_else(|| broken(&table.path("cron"), CRON, cron.span))?;
                Ok(Some(Self::Cron { cron: fields, text: cron.value }))
            }
            (None, None) | (Some(_), Some(_)) => {
                Err(broken(table.place(), "name exactly one of `every` and `cron`", table.span()))
            }
        }
    }
}

/// One field: its smallest and largest number, and names for its numbers, beginning at the number `named`.
struct Field {
    least: u32,
    most: u32,
    named: u32,
    names: &'static [&'static str],
}

const MINUTES: Field = Field { least: 0, most: 59, named: 0, names: &[] };
const HOURS: Field = Field { least: 0, most: 23, named: 0, names: &[] };
const DAYS: Field = Field { least: 1, most: 31, named: 0, names: &[] };
const MONTHS: Field = Field {
    least: 1,
    most: 12,
    named: 1,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
/// Days of the week. Sunday is both 0 and 7.
const WEEKDAYS: Field =
    Field { least: 0, most: 7, named: 0, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

impl Field {
    fn all(&self) -> u64 {
        (self.least..=self.most).fold(0, |set, number| set | 1 << number)
    }

    /// Reads a list of `*`, `N` and `N-M`, each of which may be followed by `/STEP`.
    fn parse(&self, text: &str) -> Option<u64> {
        text.split(',').try_fold(0, |set, part| Some(set | self.part(part)?))
    }

    fn part(&self, text: &str) -> Option<u64> {
        let (range, step) = match text.split_once('/') {
            Some((range, step)) => (range, Some(number(step).filter(|step| *step > 0)?)),
            None => (text, None),
        };
        let (first, last) = match range.split_once('-') {
            Some((first, last)) => (self.number(first)?, self.number(last)?),
            None if range == "*" => (self.least, self.most),
            // `N/STEP` extends to the field's largest number, as in cron.
            None => (self.number(range)?, if step.is_some() { self.most } else { self.number(range)? }),
        };
        let step = usize::try_from(step.unwrap_or(1)).ok()?;
        (first <= last).then(|| (first..=last).step_by(step).fold(0, |set, number| set | 1 << number))
    }

    fn number(&self, text: &str) -> Option<u32> {
        let named = self.names.iter().position(|name| text.eq_ignore_ascii_case(name));
        let named = named.and_then(|at| u32::try_from(at).ok()).map(|at| at + self.named);
        named.or_else(|| number(text)).filter(|number| (self.least..=self.most).contains(number))
    }
}

fn number(text: &str) -> Option<u32> {
    (text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

impl Cron {
    /// Parses five fields, or one of cron's short names. Returns `None` also for a date that does not exist.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = match text.trim() {
            "@hourly" => "0 * * * *",
            "@daily" | "@midnight" => "0 0 * * *",
            "@weekly" => "0 0 * * 0",
            "@monthly" => "0 0 1 * *",
            "@yearly" | "@annually" => "0 0 1 1 *",
            other => other,
        };
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields.as_slice() else { return None };
        let weekdays = WEEKDAYS.parse(weekdays)?;
        let cron = Self {
            minutes: MINUTES.parse(minutes)?,
            hours: HOURS.parse(hours)?,
            days: DAYS.parse(days)?,
            months: MONTHS.parse(months)?,
            weekdays: (weekdays | weekdays >> 7) & 0x7f,
        };
        cron.has_a_day().then_some(cron)
    }

    /// Returns whether one of the days exists in one of the months.
    fn has_a_day(&self) -> bool {
        let longest = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let mut months = (1_u32..).zip(longest).filter(|(month, _)| self.months >> month & 1 == 1);
        let has = |(_, days): (u32, u32)| self.days.trailing_zeros() <= days;
        // If the schedule restricts both kinds of days, one of them is enough.
        let by_weekday = self.weekdays != 0x7f && self.days != DAYS.all();
        by_weekday || months.any(has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(numbers: impl IntoIterator<Item = u32>) -> u64 {
        numbers.into_iter().fold(0, |set, number| set | 1 << number)
    }

    #[test]
    fn the_five_fields_are_crons() {
        let cron = Cron::parse("*/15 8-18/5,23 1,15 jan-MAR,12 mon-fri").unwrap();
        assert_eq!(cron.minutes, set([0, 15, 30, 45]));
        assert_eq!(cron.hours, set([8, 13, 18, 23]));
        assert_eq!(cron.days, set([1, 15]));
        assert_eq!(cron.months, set([1, 2, 3, 12]));
        assert_eq!(cron.weekdays, set(1..=5));
        assert_eq!(Cron::parse("0 0 * * 7").unwrap().weekdays, set([0]), "Sunday has two numbers");
        assert_eq!(Cron::parse("5/20 * * * *").unwrap().minutes, set([5, 25, 45]));
        assert_eq!(Cron::parse("@hourly"), Cron::parse("0 * * * *"));
        assert_eq!(Cron::parse("* * * * *").unwrap().weekdays, 0x7f);
    }

    #[test]
    fn what_cron_would_not_take_or_never_run_is_refused() {
        for text in [
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 8",
            "5-1 * * * *",
            "*/0 * * * *",
            "a * * * *",
            "1, * * * *",
            "-1 * * * *",
            "+1 * * * *",
            "0 0 31 2 *",
            "0 0 31 4,6 *",
            "@reboot",
        ] {
            assert_eq!(Cron::parse(text), None, "{text}");
        }
        assert!(Cron::parse("0 0 29 2 *").is_some() && Cron::parse("0 0 31 2 mon").is_some());
    }
}
