//! How many files and sockets the process may have open at once.

/// Raises the limit to the highest that this process may have: each call under way has a connection of its own, and
/// the usual limit of 1,024 stands for the sake of programs that know no better.
///
/// What can't be raised stays as it is.
pub(crate) fn raise_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        if current != maximum
            && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        {
            tracing::warn!(%error, ?current, "the limit of open files can't be raised");
        }
    }
}
