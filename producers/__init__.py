"""Vendor data in: parse, stamp, publish. One module per vendor."""
