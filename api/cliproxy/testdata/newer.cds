{"version":2,"records":[]}
