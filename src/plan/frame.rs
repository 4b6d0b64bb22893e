//! Which buckets an operand is read on: the answer's own, moved back by offsets and widened for windows.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Span;
use jiff::tz::TimeZone;

use super::{FormulaError, OverLimit};
use crate::backend::WholeRange;
use crate::eval::{Frame, FrameId};
use crate::series::step::{first_instant, local_date};
use crate::series::{Step, TimeAxis};

/// Different reads of one request at most; offsets of offsets would make ever more.
const MAX_FRAMES: usize = 500;

/// The frames of a request; the first is the answer's own.
pub struct Frames {
    step: Step,
    timezone: TimeZone,
    max_buckets: usize,
    frames: Vec<Frame>,
    ids: HashMap<Frame, FrameId>,
}

/// An offset: the frame of what is read, and for each bucket of the result the row of it there.
pub struct Shifted {
    /// Where the operand is.
    pub frame: FrameId,
    /// Rows; `None` for a date that does not exist.
    pub rows: Arc<[Option<u32>]>,
}

impl Frames {
    /// With the answer's own frame, which has id 0.
    pub fn new(axis: &TimeAxis, step: Step, timezone: &TimeZone, max_buckets: usize) -> Frames {
        let whole = WholeRange { from: axis.from(), to: axis.to() };
        let own = Frame { axis: axis.clone(), lead: 0, whole };
        let ids = HashMap::from([(own.clone(), FrameId(0))]);
        Frames { step, timezone: timezone.clone(), max_buckets, frames: vec![own], ids }
    }

    /// A frame by its id.
    pub fn get(&self, id: FrameId) -> &Frame {
        &self.frames[id.0 as usize]
    }

    /// All of them.
    pub fn into_frames(self) -> Vec<Frame> {
        self.frames
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Only the first ones.
    pub fn truncate(&mut self, len: usize) {
        self.frames.truncate(len);
        self.ids.retain(|_, id| (id.0 as usize) < len);
    }

    /// How many buckets a window has.
    ///
    /// # Errors
    /// A window that is not a multiple of the step.
    pub fn buckets_of(&self, window: Step) -> Result<usize, FormulaError> {
        let step = self.step;
        let fits =
            window.nominal_millis() % step.nominal_millis() == 0 && (window.is_calendar() || !step.is_calendar());
        if !fits {
            let detail = format!(
                "\"{window}\" is not a multiple of the step {step}; ask for a step that it is a multiple of{}",
                if step.is_calendar() { ", and for steps of days give it in d or w" } else { "" }
            );
            return Err(FormulaError::new("window_not_multiple", detail));
        }
        Ok(usize::try_from(window.nominal_millis() / step.nominal_millis()).unwrap_or(usize::MAX))
    }

    /// The frame with more buckets before its first.
    ///
    /// # Errors
    /// When that is more than an answer may have.
    pub fn widened(&mut self, id: FrameId, by: usize) -> Result<FrameId, FormulaError> {
        if by == 0 {
            return Ok(id);
        }
        let frame = self.get(id).clone();
        if frame.axis.len().saturating_add(by) > self.max_buckets {
            return Err(self.too_wide());
        }
        let mut from = frame.axis.from();
        match self.step.exact_millis() {
            Some(length) => from -= length * by as i64,
            None => (0..by).for_each(|_| from = self.step.floor(from - 1, &self.timezone)),
        }
        let axis = self.covering(from, frame.axis.to())?;
        let lead = frame.lead + (axis.len() - frame.axis.len());
        self.intern(Frame { axis, lead, ..frame })
    }

    /// The frame that lies `by` earlier: by exact time for exact steps, by local dates for those of the calendar.
    ///
    /// # Errors
    /// An offset that is not a multiple of the step, and too many frames.
    pub fn shifted(&mut self, id: FrameId, by: Step) -> Result<Shifted, FormulaError> {
        self.buckets_of(by)?;
        let frame = self.get(id).clone();
        let starts: Vec<Option<i64>> = frame.axis.starts().iter().map(|start| self.earlier(*start, by).ok()).collect();
        let edge = |instant: i64| self.earlier(instant, by).unwrap_or_else(|after| after);
        let whole = WholeRange { from: edge(frame.whole.from), to: edge(frame.whole.to) };
        let (from, to) = (edge(frame.axis.from()), edge(frame.axis.to()));
        let axis = self.covering(from, to.max(from + 1))?;
        let row = |start: &Option<i64>| {
            let index = axis.index_of((*start)?).filter(|index| Some(axis.starts()[*index]) == *start)?;
            u32::try_from(index).ok()
        };
        let rows: Arc<[Option<u32>]> = starts.iter().map(row).collect();
        let lead = axis.starts().partition_point(|start| *start < whole.from);
        Ok(Shifted { frame: self.intern(Frame { axis, lead, whole })?, rows })
    }

    /// The instant `by` earlier; where its local date does not exist, the error is the first instant after that.
    fn earlier(&self, instant: i64, by: Step) -> Result<i64, i64> {
        if self.step.exact_millis().is_some() {
            return Ok(instant - by.nominal_millis());
        }
        let days = by.nominal_millis() / 86_400_000;
        let date = local_date(instant, &self.timezone).saturating_sub(Span::new().days(days.min(2_000_000)));
        let start = first_instant(date, &self.timezone);
        if local_date(start, &self.timezone) == date { Ok(start) } else { Err(start) }
    }

    fn covering(&self, from: i64, to: i64) -> Result<TimeAxis, FormulaError> {
        TimeAxis::covering(from, to, self.step, &self.timezone, self.max_buckets).map_err(|_| self.too_wide())
    }

    fn too_wide(&self) -> FormulaError {
        let detail = format!(
            "its windows reach back over more than {} buckets of {}, the limit `answer_points`; ask for a greater step",
            self.max_buckets, self.step
        );
        let maximum = self.max_buckets as u64;
        FormulaError::over(OverLimit { limit: "answer_points", value: maximum + 1, maximum }, detail)
    }

    fn intern(&mut self, frame: Frame) -> Result<FrameId, FormulaError> {
        if let Some(id) = self.ids.get(&frame) {
            return Ok(*id);
        }
        if self.frames.len() == MAX_FRAMES {
            let detail =
                format!("the request reads more than {MAX_FRAMES} different ranges; use fewer offsets and windows");
            return Err(FormulaError::new("limit_exceeded", detail));
        }
        let together = self.frames.iter().map(|frame| frame.axis.len()).sum::<usize>() + frame.axis.len();
        super::check_cells(together, self.max_buckets)?;
        let id = FrameId(self.frames.len() as u32);
        self.frames.push(frame.clone());
        self.ids.insert(frame, id);
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(from: &str, to: &str, step: &str, zone: &str) -> Frames {
        let ms = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
        let (step, timezone) = (step.parse().unwrap(), TimeZone::get(zone).unwrap());
        let axis = TimeAxis::covering(ms(from), ms(to), step, &timezone, 1_000).unwrap();
        Frames::new(&axis, step, &timezone, 1_000)
    }

    #[test]
    fn windows_widen_and_offsets_move_and_both_compose() {
        let mut frames = frames("2026-01-05T00:00:00Z", "2026-01-05T01:00:00Z", "10m", "UTC");
        let wide = frames.widened(FrameId(0), 5).unwrap();
        assert_eq!((frames.get(wide).axis.len(), frames.get(wide).lead), (11, 5));
        let moved = frames.shifted(wide, "1d".parse().unwrap()).unwrap();
        assert_eq!(frames.get(moved.frame).lead, 5);
        assert_eq!(frames.get(moved.frame).axis.to(), frames.get(FrameId(0)).axis.to() - 86_400_000);
        assert!(moved.rows.iter().enumerate().all(|(index, row)| *row == Some(index as u32)));
        assert_eq!(frames.widened(FrameId(0), 5).unwrap(), wide);
        assert!(frames.shifted(wide, "15m".parse().unwrap()).is_err());
        assert!(frames.widened(wide, 100_000).is_err());
        // Each within its limit, and too many of them.
        let mut earlier = wide;
        let moved =
            (0..700).map(|_| frames.shifted(earlier, "1h".parse().unwrap()).map(|shifted| earlier = shifted.frame));
        let error = moved.collect::<Result<Vec<()>, _>>().unwrap_err();
        assert!(error.code == "limit_exceeded" && frames.frames.len() < 500, "{}: {error:?}", frames.frames.len());
    }

    #[test]
    fn calendar_offsets_go_by_local_dates() {
        // Apia had no 2011-12-30; New York's 2026-03-08 has 23 hours.
        let mut apia = frames("2012-01-04T10:00:00Z", "2012-01-08T10:00:00Z", "1d", "Pacific/Apia");
        let moved = apia.shifted(FrameId(0), "7d".parse().unwrap()).unwrap();
        let dates: Vec<_> = (apia.get(moved.frame).axis.starts().iter())
            .map(|start| local_date(*start, &TimeZone::get("Pacific/Apia").unwrap()).to_string())
            .collect();
        assert_eq!(dates, ["2011-12-29", "2011-12-31", "2012-01-01"]);
        assert_eq!(&*moved.rows, [Some(0), None, Some(1), Some(2)]);
        let mut york = frames("2026-03-09T04:00:00Z", "2026-03-10T04:00:00Z", "1d", "America/New_York");
        let moved = york.shifted(FrameId(0), "1d".parse().unwrap()).unwrap();
        assert_eq!(york.get(moved.frame).axis.to() - york.get(moved.frame).axis.from(), 23 * 3_600_000);
    }
}
