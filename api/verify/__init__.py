"""POST /verify: is this payment real, this merchant's, and not used before?"""
