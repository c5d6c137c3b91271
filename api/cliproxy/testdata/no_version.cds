{"records":[]}
