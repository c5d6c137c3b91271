{"version":1,"records":[7]}
