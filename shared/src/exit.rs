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
    /// A certificate, its key, or a file of authorities or of a secret cannot be used.
    Credential = 80,
    /// The system has no further thread, descriptor or memory for the process.
    Resources = 81,
    /// The disk, or a quota on it, is full.
    DiskFull = 82,
    /// The database was written by a later version.
    NewerDatabase = 83,
    /// A worker's drain took too long, and its watchdog thread ended it.
    Watchdog = 86,
    /// A worker lost its control channel, so its supervisor, and could not drain in time.
    Orphaned = 87,
    /// Somebody changed the supervisor's own limits, scheduling or folders, and they cannot be put
    /// back: a clean one is to be started.
    Tampered = 88,
}

impl ExitCode {
    /// Of `evonic status`: it serves no requests, or workers end one after the other.
    pub const DEGRADED: Self = Self::Failure;
    /// Of `evonic status`: nothing runs.
    pub const NOT_RUNNING: Self = Self::TurnCancelled;

    /// Codes by which a worker says that it cannot start, and that the next one cannot either unless
    /// somebody mends something; and what each means.
    pub const PERMANENT: [(Self, &'static str); 9] = [
        (Self::Usage, "its command line is wrong"),
        (Self::Os, "the operating system refuses what it needs"),
        (Self::Io, "its database or a state file cannot be used"),
        (Self::NoPermission, "it may not do what it must"),
        (Self::Config, "its configuration is refused"),
        (Self::Credential, "a certificate, key or secret cannot be used"),
        (Self::Resources, "a limit of threads, memory or descriptors is reached"),
        (Self::DiskFull, "the disk is full"),
        (Self::NewerDatabase, "its database is of a later version"),
    ];

    /// What the exit code of a worker means; [`None`] for one that no worker of this version has.
    pub fn meaning(code: i32) -> Option<&'static str> {
        const OTHERS: [(ExitCode, &str); 3] = [
            (ExitCode::Software, "a defect"),
            (ExitCode::Watchdog, "it could not drain in time"),
            (ExitCode::Orphaned, "it lost its supervisor"),
        ];
        let known = Self::PERMANENT.iter().chain(&OTHERS);
        let mut found = known.filter(|(known, _)| i32::from(known.code()) == code);
        found.next().map(|(_, meaning)| *meaning)
    }

    /// Whether a worker's exit code is one of [`Self::PERMANENT`].
    pub fn is_permanent(code: i32) -> bool {
        Self::PERMANENT.iter().any(|(known, _)| i32::from(known.code()) == code)
    }

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
