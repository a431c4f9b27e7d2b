# Unpacks with Perl's Archive::Tar, one archive after another.
#
# A line of standard input is `mode TAB archive TAB folder`; the answer is a line, `ok` or what went wrong.
use strict;
use warnings;
use Archive::Tar;

$| = 1;
$Archive::Tar::WARN = 0;

sub unpack_into {
    my ($archive, $folder) = @_;
    my $tar = Archive::Tar->new;
    return 'read: ' . $tar->error unless $tar->read($archive, 1) && !$tar->error;
    chdir $folder or return "no folder $folder";
    return defined $tar->extract ? 'ok' : 'extract: ' . $tar->error;
}

while (my $line = <STDIN>) {
    chomp $line;
    my (undef, $archive, $folder) = split /\t/, $line;
    my $answer = unpack_into($archive, $folder);
    chdir '/';
    $answer =~ s/\s+/ /g;
    print "$answer\n";
}
