-- wrk sends a file of 10 MiB, the longest that WeChat takes.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/octet-stream"
wrk.body = string.rep("x", 10 * 1024 * 1024)
