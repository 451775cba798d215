"""The local driver: an agent process keeps one supervised, limited, sandboxed runtime for each replica on this machine."""
