//! Exit codes of both programs (`sysexits(3)` where one fits).

/// How a program of evonic ends. Used by the supervisor's policy, the unit file and the tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Success; of a worker: drained to the end.
    Ok = 0,
    /// A command of the operator failed; the message says why.
    Failure = 1,
    /// A turn ended as `failed` (of `evonic chat`).
    TurnFailed = 2,
    /// A turn ended as `cancelled` (of `evonic chat`).
    TurnCancelled = 3,
    /// The command line is wrong (`EX_USAGE`).
    Usage = 64,
    /// A process that is needed does not answer (`EX_UNAVAILABLE`).
    Unavailable = 69,
    /// A defect: an invariant does not hold (`EX_SOFTWARE`).
    Software = 70,
    /// The OS refuses a listener, a descriptor or the like (`EX_OSERR`).
    Os = 71,
    /// The database or a state file cannot be used (`EX_IOERR`).
    Io = 74,
    /// The caller may not do this (`EX_NOPERM`).
    NoPermission = 77,
    /// The configuration is refused (`EX_CONFIG`).
    Config = 78,
    /// A worker's drain took too long, and its watchdog thread ended it.
    Watchdog = 86,
    /// A worker lost its control channel, so its supervisor, and could not drain in time.
    Orphaned = 87,
    /// Somebody changed the supervisor's own limits, scheduling or folders, and they cannot be put
    /// back: a clean one is to be started.
    Tampered = 88,
}

impl ExitCode {
    /// The number.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        std::process::ExitCode::from(code.code())
    }
}
