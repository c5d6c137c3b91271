{"version":1,"records":[{"auth_id":"a","next_retry_after":17}]}
