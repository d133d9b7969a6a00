"""The API's reference, made from what validates and what is answered: document, pages, assets."""
