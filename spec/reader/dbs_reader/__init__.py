"""A second reader of DBS version 3, written from the text of the specification alone.

Sections named in this package are those of spec/dbs-v3.md; "behaviour" is spec/behaviour.md.
"""
