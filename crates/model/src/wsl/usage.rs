//! What `wsl --help` prints.

/// The usage text, at most 80 columns wide, with a newline at its end.
pub const USAGE: &str = "\
Usage: wsl [OPTIONS] [COMMAND LINE]
       wsl VERB [ARGUMENTS]

Without a command line, wsl opens your shell in the default distribution.

A command line of one word goes to your shell as it is, like `sh -c`:
    wsl 'cd /srv && ls *.log'
One of several words is a program with its arguments. Each of them arrives as
it is; the shell in the distribution expands nothing in them:
    wsl grep 'a b' '*.log'

OPTIONS

  -d, --distribution NAME     Run in this distribution. Case does not matter.
      --distribution-id GUID  The same, by identity.
  -u, --user NAME             Run as this user.
      --cd FOLDER             Begin in this folder of the distribution; ~ is the
                              user's home folder. Relative paths begin at the
                              folder you are in, which is also what counts
                              without this option, if the distribution has it.
      --shell-type TYPE       standard, login (reads the profile) or none (the
                              same as --exec).
      --system                Run in docker-desktop, where the engine runs; it
                              must run.
  -e, --exec                  What follows is a program with its arguments, run
                              without a shell.
      --                      What follows is the command line.

A GUID, then ~ for the home folder, may also stand before all options.

VERBS ABOUT DISTRIBUTIONS

  -l, --list                  List the distributions.
      -v, --verbose             With state and version.
      -q, --quiet               Names only.
          --running             Those that run.
          --all                 Also those that come, go or change.
      -o, --online              Those that --install knows.

      --install [NAME]        Install a distribution of the online list, or its
                              default one, and open a shell in it.
      -f, --from-file FILE      Take this archive instead; - is standard input.
          --name NAME           Register it by this name.
      -l, --location FOLDER     Keep its files in this folder.
          --version 1|2         Not the default version.
          --vhd-size SIZE       The size its disk may grow to, e.g. 64GB.
      -n, --no-launch           Open no shell.
          --no-distribution     Install no distribution.
          --legacy              Take the list of store packages.
                              --web-download, --enable-wsl1, --pre-release
                              and --prompt-before-exit are accepted for
                              scripts that have them, and do nothing.
                              --fixed-vhd is refused: disks take room as it
                              is needed.

      --import NAME FOLDER FILE
                              Make a distribution of an archive; - is standard
                              input. Its files are kept in FOLDER, which is made
                              if only its last part is missing.
          --version 1|2         Not the default version.
          --vhd                 FILE is a disk, which is copied.

      --import-in-place NAME FILE
                              Make a distribution of a disk that stays where it
                              is.

      --export NAME FILE      Write a distribution to an archive; - is standard
                              output.
          --format FORMAT       tar, tar.gz, tar.xz or vhd.
          --vhd                 The same as --format vhd.

  -s, --set-default NAME      Make it the default distribution.
      --set-version NAME 1|2  Convert a distribution.
      --set-default-version 1|2
                              Choose the version of new distributions.
  -t, --terminate NAME        Stop a distribution.
      --unregister NAME       Remove a distribution and all its files, at once.
          --force               With --set-default and --unregister: also if it
                                is docker-desktop or docker-desktop-data. To
                                unregister the latter deletes all images,
                                containers and volumes.

      --manage NAME           Change one thing of a distribution:
      -m, --move FOLDER         Bring its files to another folder.
      -r, --resize SIZE         The size its disk may grow to, e.g. 64GB.
          --set-default-user USER
      -s, --set-sparse true|false
                                Whether deleted files give room back to the
                                host.

OTHER VERBS

      --mount DISK            Attach a disk and mount it in all distributions of
                              version 2, below /mnt/wsl.
          --vhd                 DISK is an image file, not a device.
          --bare                Attach only.
      -n, --name NAME           Mount it by this name.
      -t, --type TYPE           Its file system, if it can't be told.
      -o, --options OPTIONS     Options of mount(8).
      -p, --partition NUMBER    One partition, from 1, not the whole disk.
      --unmount [DISK]        Take a disk off, or all of them.

      --status                Show the default distribution and version.
      --shutdown              Stop all distributions and the engine.
          --force               Without waiting for anything to end.
      --debug-shell           Say why there is none.
      --update                Say how Sampan is updated.
      --uninstall             Say how Sampan is removed.
  -v, --version               Show versions.
      --help                  Show this text.

Words behind -- are no options: wsl --terminate -- -odd-name
A failure of wsl itself ends with 255, a command that was run with its own code.
";

#[cfg(test)]
mod tests {
    use super::USAGE;

    #[test]
    fn it_fits_a_terminal() {
        for line in USAGE.lines() {
            assert!(line.chars().count() <= 80 && line.trim_end() == line, "{line:?}");
        }
        assert!(USAGE.ends_with('\n') && !USAGE.ends_with("\n\n"));
    }
}
