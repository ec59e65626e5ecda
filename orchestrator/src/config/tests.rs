//! The layers by tables: who wins, what is refused, what follows from what.
