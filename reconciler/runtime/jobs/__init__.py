"""Work over the whole fleet, at an interval. The leases in the catalog let one daemon at a time run each job."""
