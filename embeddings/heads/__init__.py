"""The dissection of attention: what heads and layers are worth, what they look at, and models without some of them."""
