"""What other services receive, told as AsyncAPI 3 and as a page, both made from what sends it."""
