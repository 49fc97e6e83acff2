"""Saved files as an answer that arrives.

file       what a file is by its name
video      what a video holds, and its index moved to the front
encoding   stills in one encoding or another
reply      the answer, made to fit
storage    the bucket
volume     the network volume
transport  HTTP to a bucket, which botocore sends by
delivery   by which way the files go, and by which next
"""
