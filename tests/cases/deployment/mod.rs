//! The deployment: what the templates create, what each role may do, and what the code then does with it.

mod created;
mod denied;
mod judge;
mod rights;
mod template;
mod unmade;
