"""The page: a web server in a thread, its security, what it answers, and the files that a browser loads."""
