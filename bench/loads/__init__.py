"""`make bench`: how fast files become records, compared with two bare COPYs, plain SQL, Sling, dlt and bulk_create."""
