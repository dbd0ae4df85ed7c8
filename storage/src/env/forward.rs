//! Machines that are another one but for something.

/// Methods of an [`Env`](crate::Env) that a field answers: what a machine around another one does not do itself. Each is named, so that
/// nothing passes by a wrapper unnoticed; a method that is neither named nor written is missing, or has the default of the trait.
///
/// ```
/// use std::sync::Arc;
/// use ofd_storage::{Env, Error, forward_env};
///
/// /// A machine whose disk is full.
/// struct Full(Arc<dyn Env>);
///
/// impl Env for Full {
///     fn free_bytes(&self) -> Result<u64, Error> {
///         Ok(0)
///     }
///     forward_env!(0: now random core_clock spawn open open_read create rename remove remove_dir list sync_dir create_dir_all exists lock queue);
/// }
/// ```
#[macro_export]
macro_rules! forward_env {
    ($to:tt: $($name:ident)+) => { $($crate::forward_env!(@$name $to);)+ };
    (@now $to:tt) => {
        fn now(&self) -> $crate::Now {
            self.$to.now()
        }
    };
    (@random $to:tt) => {
        fn random(&self) -> u64 {
            self.$to.random()
        }
    };
    (@core_clock $to:tt) => {
        fn core_clock(&self) -> ::std::option::Option<::std::boxed::Box<dyn $crate::CoreClock>> {
            self.$to.core_clock()
        }
    };
    (@spawn $to:tt) => {
        fn spawn(
            &self,
            name: &str,
            body: ::std::boxed::Box<dyn FnOnce() + Send>,
        ) -> ::std::result::Result<::std::boxed::Box<dyn $crate::env::Task>, $crate::Error> {
            self.$to.spawn(name, body)
        }
    };
    (@open $to:tt) => { $crate::forward_env!(@file open $to); };
    (@open_read $to:tt) => { $crate::forward_env!(@file open_read $to); };
    (@create $to:tt) => { $crate::forward_env!(@file create $to); };
    (@file $name:ident $to:tt) => {
        fn $name(
            &self,
            path: &::std::path::Path,
        ) -> ::std::result::Result<::std::sync::Arc<dyn $crate::File>, $crate::Error> {
            self.$to.$name(path)
        }
    };
    (@rename $to:tt) => { $crate::forward_env!(@two rename $to); };
    (@exchange $to:tt) => { $crate::forward_env!(@two exchange $to); };
    (@link $to:tt) => { $crate::forward_env!(@two link $to); };
    (@two $name:ident $to:tt) => {
        fn $name(
            &self,
            one: &::std::path::Path,
            other: &::std::path::Path,
        ) -> ::std::result::Result<(), $crate::Error> {
            self.$to.$name(one, other)
        }
    };
    (@remove $to:tt) => { $crate::forward_env!(@one remove $to); };
    (@remove_dir $to:tt) => { $crate::forward_env!(@one remove_dir $to); };
    (@sync_dir $to:tt) => { $crate::forward_env!(@one sync_dir $to); };
    (@create_dir_all $to:tt) => { $crate::forward_env!(@one create_dir_all $to); };
    (@one $name:ident $to:tt) => {
        fn $name(&self, path: &::std::path::Path) -> ::std::result::Result<(), $crate::Error> {
            self.$to.$name(path)
        }
    };
    (@list $to:tt) => {
        fn list(
            &self,
            dir: &::std::path::Path,
        ) -> ::std::result::Result<::std::vec::Vec<$crate::env::DirEntry>, $crate::Error> {
            self.$to.list(dir)
        }
    };
    (@exists $to:tt) => {
        fn exists(&self, path: &::std::path::Path) -> ::std::result::Result<bool, $crate::Error> {
            self.$to.exists(path)
        }
    };
    (@lock $to:tt) => {
        fn lock(
            &self,
            path: &::std::path::Path,
        ) -> ::std::result::Result<$crate::env::LockGuard, $crate::Error> {
            self.$to.lock(path)
        }
    };
    (@free_bytes $to:tt) => {
        fn free_bytes(&self) -> ::std::result::Result<u64, $crate::Error> {
            self.$to.free_bytes()
        }
    };
    (@queue $to:tt) => {
        fn queue(
            &self,
            wake: $crate::env::Wake,
        ) -> ::std::result::Result<::std::boxed::Box<dyn $crate::DiskQueue>, $crate::Error> {
            self.$to.queue(wake)
        }
    };
    (@mirror $to:tt) => {
        fn mirror(&self) -> ::std::option::Option<&$crate::Mirror> {
            self.$to.mirror()
        }
    };
    (@store $to:tt) => {
        fn store(&self) -> ::std::option::Option<&dyn $crate::store::Store> {
            self.$to.store()
        }
    };
}
