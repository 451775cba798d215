"""Project storage as the runtime uses it: objects come in as files and results go out, through one unix socket."""
