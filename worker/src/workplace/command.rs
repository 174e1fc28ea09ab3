//! Commands: started in their own session, streamed, killed with everything they started.
