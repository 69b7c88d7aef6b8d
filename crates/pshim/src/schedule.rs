//! Computes when a scheduled command is due next. All times are seconds since 1970, in UTC.

use alloc::string::String;
use alloc::vec::Vec;

use crate::number::number;

/// How many days ahead a date is searched for. The 29th of February comes at least every eight years.
const HORIZON: u64 = 9 * 366;
const DAY: u64 = 24 * 60;

/// The times at which a command is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// At every multiple of this number of seconds.
    Every(u32),
    /// At the minutes that five sets describe. Bit N of a set stands for the number N.
    Cron {
        /// Minutes, 0 to 59.
        minutes: u64,
        /// Hours, 0 to 23.
        hours: u64,
        /// Days of the month, 1 to 31.
        days: u64,
        /// Months, 1 to 12.
        months: u64,
        /// Days of the week, 0 to 6, beginning with Sunday.
        weekdays: u64,
    },
}

/// The days of every month.
const ALL_DAYS: u64 = 0xffff_fffe;
/// The days of a week.
const ALL_WEEKDAYS: u64 = 0x7f;

impl Schedule {
    /// Writes the words that [`Schedule::parse`] reads.
    #[must_use]
    pub fn write(self) -> Vec<String> {
        match self {
            Self::Every(seconds) => Vec::from([String::from("every"), alloc::format!("{seconds}")]),
            Self::Cron { minutes, hours, days, months, weekdays } => {
                let sets = [minutes, hours, days, months, weekdays].map(|set| alloc::format!("{set:x}"));
                core::iter::once(String::from("cron")).chain(sets).collect()
            }
        }
    }

    /// Reads a schedule from the front of `words`, and returns it with the remaining words.
    #[must_use]
    pub fn parse<'a, 'b>(words: &'b [&'a [u8]]) -> Option<(Self, &'b [&'a [u8]])> {
        match words {
            [b"every", seconds, rest @ ..] => {
                let seconds = number(seconds).filter(|seconds| *seconds > 0)?;
                Some((Self::Every(seconds), rest))
            }
            [b"cron", minutes, hours, days, months, weekdays, rest @ ..] => {
                let schedule = Self::Cron {
                    minutes: set(minutes)?,
                    hours: set(hours)?,
                    days: set(days)?,
                    months: set(months)?,
                    weekdays: set(weekdays)?,
                };
                Some((schedule, rest))
            }
            _ => None,
        }
    }

    /// Finds the first second after `after` at which the command is due. Returns `None` if there is none for years.
    #[must_use]
    pub fn next(self, after: u64) -> Option<u64> {
        match self {
            Self::Every(seconds) => Some((after / u64::from(seconds) + 1) * u64::from(seconds)),
            Self::Cron { minutes, hours, days, months, weekdays } => {
                let first = after / 60 + 1;
                let begin = first / DAY;
                (begin..begin + HORIZON).filter(|day| is_due_on(*day, days, months, weekdays)).find_map(|day| {
                    let from = if day == begin { first % DAY } else { 0 };
                    let due = |minute: &u64| has(hours, minute / 60) && has(minutes, minute % 60);
                    (from..DAY).find(due).map(|minute| (day * DAY + minute) * 60)
                })
            }
        }
    }
}

fn has(set: u64, number: u64) -> bool {
    set >> number & 1 == 1
}

/// Returns whether a command is due on a day, which is counted from 1970. If the schedule restricts both days of the
/// month and days of the week, one of them is enough, as in cron.
fn is_due_on(day: u64, days: u64, months: u64, weekdays: u64) -> bool {
    let (month, of_month) = month_and_day(day);
    // 1970-01-01 was a Thursday.
    let (by_day, by_weekday) = (has(days, of_month), has(weekdays, (day + 4) % 7));
    let is_any = days & ALL_DAYS == ALL_DAYS || weekdays & ALL_WEEKDAYS == ALL_WEEKDAYS;
    has(months, month) && if is_any { by_day && by_weekday } else { by_day || by_weekday }
}

/// Returns the month and the day of the month, both counted from 1, of a day that is counted from 1970.
fn month_and_day(day: u64) -> (u64, u64) {
    // The year is counted from March, so that its leap day is at its end. 400 years have 146,097 days.
    let day = (day + 719_468) % 146_097;
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    (if month < 10 { month + 3 } else { month - 9 }, of_year - (153 * month + 2) / 5 + 1)
}

/// Reads a set from hexadecimal digits.
fn set(text: &[u8]) -> Option<u64> {
    let text = core::str::from_utf8(text).ok().filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u64::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: Schedule = Schedule::Cron {
        minutes: (1 << 60) - 1,
        hours: (1 << 24) - 1,
        days: ALL_DAYS,
        months: 0x1ffe,
        weekdays: ALL_WEEKDAYS,
    };

    /// 2026-12-01, a Tuesday, counted in days from 1970.
    const DECEMBER: u64 = 20_788;

    fn cron(minutes: u64, hours: u64, days: u64, months: u64, weekdays: u64) -> Schedule {
        Schedule::Cron { minutes, hours, days, months, weekdays }
    }

    #[test]
    fn the_calendar_is_the_calendar() {
        for (day, date) in
            [(0, (1, 1)), (59, (3, 1)), (789, (2, 29)), (790, (3, 1)), (11_016, (2, 29)), (DECEMBER, (12, 1))]
        {
            assert_eq!(month_and_day(day), date, "{day}");
        }
        // 2100 has no leap day: the day after its 28th of February is the first of March.
        assert_eq!((month_and_day(47_540), month_and_day(47_541)), ((2, 28), (3, 1)));
    }

    #[test]
    fn multiples_do_not_depend_on_the_start() {
        assert_eq!(Schedule::Every(3600).next(DECEMBER * 86_400 + 5), Some(DECEMBER * 86_400 + 3600));
        assert_eq!(Schedule::Every(3600).next(DECEMBER * 86_400 + 3600), Some(DECEMBER * 86_400 + 7200));
        assert_eq!(Schedule::Every(1).next(7), Some(8));
    }

    #[test]
    fn the_next_minute_is_found_across_hours_days_and_years() {
        let start = DECEMBER * 86_400;
        let at = |schedule: Schedule| {
            schedule.next(start + 30).map(|due| ((due - start) / 86_400, (due - start) % 86_400 / 60))
        };
        assert_eq!(at(ALL), Some((0, 1)));
        assert_eq!(at(cron(1, 1 << 3, ALL_DAYS, 0x1ffe, ALL_WEEKDAYS)), Some((0, 180)));
        assert_eq!(at(cron(1, 1, ALL_DAYS, 0x1ffe, ALL_WEEKDAYS)), Some((1, 0)), "midnight has passed");
        assert_eq!(at(cron(1, 1, ALL_DAYS, 0x1ffe, 1 << 1)), Some((6, 0)), "the next Monday");
        assert_eq!(at(cron(1, 1, 1 << 3, 0x1ffe, 1 << 1)), Some((2, 0)), "the third or a Monday");
        assert_eq!(at(cron(1, 1, 1 << 1, 1 << 1, ALL_WEEKDAYS)), Some((31, 0)), "the first of January");
        assert_eq!(at(cron(1, 1, 1 << 29, 1 << 2, ALL_WEEKDAYS)), Some((455, 0)), "the leap day of 2028");
        assert_eq!(at(cron(1, 1, 1 << 31, 1 << 2, ALL_WEEKDAYS)), None);
    }

    proptest! {
        #[test]
        fn what_is_due_comes_later_and_nothing_between_is_due(
            minutes in 1_u64..1 << 60, hours in 1_u64..1 << 24, weekdays in 1_u64..128, after in 0_u64..4_000_000_000,
        ) {
            let schedule = cron(minutes, hours, ALL_DAYS, 0x1ffe, weekdays);
            let due = schedule.next(after).unwrap();
            prop_assert!(due > after && due.is_multiple_of(60) && due - after <= 8 * 86_400);
            prop_assert!(has(minutes, due / 60 % 60) && has(hours, due / 3600 % 24) && has(weekdays, (due / 86_400 + 4) % 7));
            prop_assert_eq!(schedule.next(due - 1), Some(due));
        }

        #[test]
        fn what_is_written_is_parsed(sets in proptest::array::uniform5(any::<u64>()), seconds in 1_u32..86_400) {
            let [minutes, hours, days, months, weekdays] = sets;
            for schedule in [Schedule::Every(seconds), cron(minutes, hours, days, months, weekdays)] {
                let written = schedule.write();
                let words: Vec<&[u8]> = written.iter().map(String::as_bytes).chain([&b"--"[..]]).collect();
                prop_assert_eq!(Schedule::parse(&words), Some((schedule, &[&b"--"[..]][..])));
            }
        }
    }
}
