{"version":1,"records":[],"records":[]}
