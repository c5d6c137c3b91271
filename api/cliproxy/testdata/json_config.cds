{"oauth-quota-groups":[]}
