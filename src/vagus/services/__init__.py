"""Services: commands, aggregates, views of events, and what follows from them."""
