//! Maintenance windows: the hours of a week in which a machine may be installed.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Hours of a week, in the time of the server's own zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The days on which it opens.
    pub days: Vec<Day>,
    /// When it opens.
    pub from: TimeOfDay,
    /// When it closes; not later than `from` means on the next day.
    pub to: TimeOfDay,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl Day {
    /// All of them, Monday first.
    pub const ALL: [Day; 7] = [
        Day::Mon,
        Day::Tue,
        Day::Wed,
        Day::Thu,
        Day::Fri,
        Day::Sat,
        Day::Sun,
    ];

    /// The word used everywhere.
    pub fn slug(self) -> &'static str {
        match self {
            Day::Mon => "mon",
            Day::Tue => "tue",
            Day::Wed => "wed",
            Day::Thu => "thu",
            Day::Fri => "fri",
            Day::Sat => "sat",
            Day::Sun => "sun",
        }
    }
}

/// Hours and minutes, `00:00` to `23:59`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeOfDay {
    minutes: u16,
}

/// The text is no time of day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a time of day (expected 00:00 to 23:59)")]
pub struct TimeError(String);

/// The text is no window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// It is written in another way.
    #[error("'{0}' is no window: expected days and hours, such as mon,tue/22:00-05:00")]
    Form(String),
    /// One of its hours is none.
    #[error(transparent)]
    Time(#[from] TimeError),
}

impl FromStr for Window {
    type Err = WindowError;

    /// `mon,tue/22:00-05:00`
    fn from_str(text: &str) -> Result<Self, WindowError> {
        let form = || {
            let short: String = text.chars().take(60).collect();
            WindowError::Form(short.escape_debug().to_string())
        };
        let (days, hours) = text.split_once('/').ok_or_else(form)?;
        let (from, to) = hours.split_once('-').ok_or_else(form)?;
        let day = |word: &str| {
            let word = word.trim();
            Day::ALL.into_iter().find(|day| day.slug() == word)
        };
        let days: Option<Vec<Day>> = days.split(',').map(day).collect();
        Ok(Window {
            days: days.ok_or_else(form)?,
            from: from.trim().parse()?,
            to: to.trim().parse()?,
        })
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days: Vec<&str> = self.days.iter().map(|day| day.slug()).collect();
        write!(f, "{}/{}-{}", days.join(","), self.from, self.to)
    }
}

impl Window {
    /// Whether it is open so many minutes after Monday 00:00.
    pub fn is_open(&self, week_minute: u16) -> bool {
        let (from, to) = (self.from.minutes, self.to.minutes);
        let length = match to > from {
            true => to - from,
            false => to + DAY - from,
        };
        self.days.iter().any(|day| {
            let opens = *day as u16 * DAY + from;
            (week_minute % WEEK + WEEK - opens) % WEEK < length
        })
    }
}

impl FromStr for TimeOfDay {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let part = |digits: &str, below: u16| {
            let plain = digits.len() == 2 && digits.bytes().all(|c| c.is_ascii_digit());
            let number = digits.parse::<u16>().ok().filter(|_| plain);
            number.filter(|n| *n < below)
        };
        let read = || {
            let (hours, minutes) = text.split_once(':')?;
            Some(part(hours, 24)? * 60 + part(minutes, 60)?)
        };
        match read() {
            Some(minutes) => Ok(TimeOfDay { minutes }),
            None => {
                let short: String = text.chars().take(40).collect();
                Err(TimeError(short.escape_debug().to_string()))
            }
        }
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.minutes / 60, self.minutes % 60)
    }
}

impl TryFrom<String> for TimeOfDay {
    type Error = TimeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TimeOfDay> for String {
    fn from(time: TimeOfDay) -> String {
        time.to_string()
    }
}

/// In minutes.
const DAY: u16 = 24 * 60;
const WEEK: u16 = 7 * DAY;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn window(days: &[&str], from: &str, to: &str) -> Window {
        let written = json!({"days": days, "from": from, "to": to});
        serde_json::from_value(written).expect("a window")
    }

    #[test]
    fn when_it_is_open() {
        let nights = window(&["mon", "fri", "sun"], "22:00", "05:00");
        let noon = window(&["wed"], "12:00", "13:30");
        let always = window(&["sat"], "00:00", "00:00");
        for (window, day, time, expected) in [
            (&nights, 0, "21:59", false),
            (&nights, 0, "22:00", true),
            (&nights, 1, "04:59", true),
            (&nights, 1, "05:00", false),
            (&nights, 1, "23:00", false),
            // Sunday's ends in the next week.
            (&nights, 0, "04:00", true),
            (&noon, 2, "12:00", true),
            (&noon, 2, "13:30", false),
            (&noon, 3, "12:30", false),
            (&always, 5, "00:00", true),
            (&always, 5, "23:59", true),
            (&always, 6, "00:00", false),
        ] {
            let time_of_day: TimeOfDay = time.parse().expect("a time");
            let minute = day * DAY + time_of_day.minutes;
            assert_eq!(window.is_open(minute), expected, "{window:?} {day} {time}");
        }
    }

    #[test]
    fn times_of_day() {
        for bad in ["", "5:00", "24:00", "12:60", "12", "+1:00", "12:00:00"] {
            assert!(bad.parse::<TimeOfDay>().is_err(), "{bad}");
        }
        let time: TimeOfDay = "07:05".parse().expect("a time");
        assert_eq!(time.to_string(), "07:05");
    }

    #[test]
    fn a_window_is_written_as_it_is_read() {
        for text in ["mon,tue/22:00-05:00", "sun/00:00-00:00"] {
            let window: Window = text.parse().expect("a window");
            assert_eq!(window.to_string(), text);
        }
        let loose: Window = " mon , tue/ 22:00 - 05:00".parse().expect("a window");
        assert_eq!(loose.to_string(), "mon,tue/22:00-05:00");
        for (wrong, says) in [
            ("", "is no window"),
            ("mon", "is no window"),
            ("mon/22:00", "is no window"),
            ("/22:00-05:00", "is no window"),
            ("Monday/22:00-05:00", "is no window"),
            ("mon/22-05:00", "'22' is not a time of day"),
            ("mon/22:00-24:00", "'24:00' is not a time of day"),
        ] {
            let error = wrong.parse::<Window>().expect_err("refused").to_string();
            assert!(error.contains(says), "{wrong}: {error}");
        }
    }
}
