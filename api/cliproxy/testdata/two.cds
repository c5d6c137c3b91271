{"version":1,"records":[]} {}
