//! Files below the root: opened beneath it, written atomically.
