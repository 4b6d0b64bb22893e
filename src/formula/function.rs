//! The functions of the language as one table: name, arguments, class.

/// A function of the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Function {
    Abs,
    Min,
    Max,
    Floor,
    Ceil,
    Round,
    Sqrt,
    Exp,
    Ln,
    Log10,
    Pow,
    Clamp,
    If,
    Coalesce,
    MovingAvg,
    MovingSum,
    MovingMin,
    MovingMax,
    Cumulative,
    Delta,
    Rate,
    Offset,
    SumBy,
    AvgBy,
    MinBy,
    MaxBy,
    CountBy,
    TopK,
    Share,
    Baseline,
    Lift,
}

/// How a function looks at its operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FunctionClass {
    /// Point by point: null for a null operand, but for `if` and `coalesce`.
    Point,
    /// Along the time axis of each series.
    Time,
    /// Across the series at each point.
    Series,
}

/// What may stand in an argument's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argument {
    /// Any expression.
    Value,
    /// A string that is a duration, such as `"1h"`.
    Window,
    /// A string that names a tag.
    TagName,
    /// A string that is data.
    Text,
    /// A whole number from 1, or a number parameter.
    Count,
}

impl Function {
    /// Every function, in the order of the documentation.
    pub const ALL: [Function; 31] = [
        Function::Abs,
        Function::Min,
        Function::Max,
        Function::Floor,
        Function::Ceil,
        Function::Round,
        Function::Sqrt,
        Function::Exp,
        Function::Ln,
        Function::Log10,
        Function::Pow,
        Function::Clamp,
        Function::If,
        Function::Coalesce,
        Function::MovingAvg,
        Function::MovingSum,
        Function::MovingMin,
        Function::MovingMax,
        Function::Cumulative,
        Function::Delta,
        Function::Rate,
        Function::Offset,
        Function::SumBy,
        Function::AvgBy,
        Function::MinBy,
        Function::MaxBy,
        Function::CountBy,
        Function::TopK,
        Function::Share,
        Function::Baseline,
        Function::Lift,
    ];

    /// The name in an expression.
    pub fn name(self) -> &'static str {
        self.signature().0
    }

    /// How it looks at its operands.
    pub fn class(self) -> FunctionClass {
        use Function::*;
        match self {
            Abs | Min | Max | Floor | Ceil | Round | Sqrt | Exp | Ln | Log10 | Pow | Clamp | If | Coalesce => {
                FunctionClass::Point
            }
            MovingAvg | MovingSum | MovingMin | MovingMax | Cumulative | Delta | Rate | Offset => FunctionClass::Time,
            SumBy | AvgBy | MinBy | MaxBy | CountBy | TopK | Share | Baseline | Lift => FunctionClass::Series,
        }
    }

    /// What must stand in the first places.
    pub fn arguments(self) -> &'static [Argument] {
        self.signature().1
    }

    /// What any number of further arguments must be; `None` where there are none.
    pub fn further(self) -> Option<Argument> {
        self.signature().2
    }

    /// The function of that name.
    pub fn from_name(name: &str) -> Option<Function> {
        Function::ALL.into_iter().find(|function| function.name() == name)
    }

    /// Name, the arguments that must be there, and what may follow them.
    fn signature(self) -> (&'static str, &'static [Argument], Option<Argument>) {
        use Argument::{Count, TagName, Text, Value, Window};
        use Function::*;
        match self {
            Abs => ("abs", &[Value], None),
            Min => ("min", &[Value, Value], Some(Value)),
            Max => ("max", &[Value, Value], Some(Value)),
            Floor => ("floor", &[Value], None),
            Ceil => ("ceil", &[Value], None),
            Round => ("round", &[Value], None),
            Sqrt => ("sqrt", &[Value], None),
            Exp => ("exp", &[Value], None),
            Ln => ("ln", &[Value], None),
            Log10 => ("log10", &[Value], None),
            Pow => ("pow", &[Value, Value], None),
            Clamp => ("clamp", &[Value, Value, Value], None),
            If => ("if", &[Value, Value, Value], None),
            Coalesce => ("coalesce", &[Value, Value], Some(Value)),
            MovingAvg => ("moving_avg", &[Value, Window], None),
            MovingSum => ("moving_sum", &[Value, Window], None),
            MovingMin => ("moving_min", &[Value, Window], None),
            MovingMax => ("moving_max", &[Value, Window], None),
            Cumulative => ("cumulative", &[Value], None),
            Delta => ("delta", &[Value], None),
            Rate => ("rate", &[Value], None),
            Offset => ("offset", &[Value, Window], None),
            SumBy => ("sum_by", &[Value], Some(TagName)),
            AvgBy => ("avg_by", &[Value], Some(TagName)),
            MinBy => ("min_by", &[Value], Some(TagName)),
            MaxBy => ("max_by", &[Value], Some(TagName)),
            CountBy => ("count_by", &[Value], Some(TagName)),
            TopK => ("topk", &[Value, Count], None),
            Share => ("share", &[Value], None),
            Baseline => ("baseline", &[Value, TagName, Text], None),
            Lift => ("lift", &[Value, TagName, Text], None),
        }
    }
}
