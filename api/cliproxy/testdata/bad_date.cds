{"version":1,"updated_at":"soon","records":[]}
