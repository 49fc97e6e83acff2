"""What a caller sends, checked.

request    the fields of a job's input
faults     what is wrong with them, in words
image      the images, fetched or decoded
s3_config  a bucket that the job brings along
limits     the largest clip that the GPU holds
"""
