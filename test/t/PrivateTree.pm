# PrivateTree: an installation of its own for one test, which may add files to it or leave some out.
#
#   my $tree = PrivateTree->new;
#   PostgreSQL::Test::Cluster->new('main', install_path => $tree->path);
#   append_to_file($tree->extension_file('otel_links--1.0--9.9.sql'), …);
#   $tree->remove_library('otel_links_http');  $tree->restore_library('otel_links_http');
#
# A server finds its files relative to its program, so programs are copied; everything else is a
# link.  If the copies do not run, the test is skipped.
package PrivateTree;
use strict;
use warnings;
use File::Basename;
use File::Copy;
use File::Path qw(make_path);
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

sub installed
{
	my ($kind) = @_;
	my ($out) = run_command([ $ENV{PG_CONFIG} || 'pg_config', "--$kind" ]);
	return $out;
}

sub new
{
	my ($class) = @_;
	my $self = bless { root => PostgreSQL::Test::Utils::tempdir,
		map { $_ => installed($_) } qw(bindir pkglibdir sharedir) }, $class;
	my ($root, $sharedir) = @$self{qw(root sharedir)};
	make_path("$root$self->{bindir}", "$root$self->{pkglibdir}", "$root$sharedir/extension");
	foreach my $program (grep { -f } glob("$self->{bindir}/*"))
	{
		my $copy = "$root$self->{bindir}/" . basename($program);
		copy($program, $copy) or die "$program: $!";
		chmod 0755, $copy;
	}
	foreach my $file (glob("$self->{pkglibdir}/*"),
		(grep { $_ ne "$sharedir/extension" } glob("$sharedir/*")),
		glob("$sharedir/extension/*"))
	{
		symlink $file, "$root$file" or die "symlink: $!";
	}
	plan(skip_all => 'this installation does not run from another folder')
	  unless IPC::Run::run([ "$root$self->{bindir}/initdb", '--version' ], '>', \my $out, '2>',
	  	\my $err);
	return $self;
}

sub path { return dirname("$_[0]->{root}$_[0]->{bindir}") }

sub extension_file { return "$_[0]->{root}$_[0]->{sharedir}/extension/$_[1]" }

# A library's link in the tree, and its target.
sub library
{
	my ($self, $name) = @_;
	my ($file) = grep { -e } map { "$self->{pkglibdir}/$name.$_" } qw(so dylib);
	return ("$self->{root}$file", $file);
}

sub remove_library
{
	my ($link) = library(@_);
	unlink $link or die "unlink $link: $!";
}

sub restore_library
{
	my ($link, $file) = library(@_);
	symlink $file, $link or die "symlink: $!";
}

# Replaces the library by a copy in which some bytes are replaced by as many others.
sub replace_in_library
{
	my ($self, $name, $from, $to) = @_;
	my ($link, $file) = library($self, $name);
	my $bytes = slurp_file($file);
	die 'the replacement is not as long' if length $from != length $to;
	$bytes =~ s/\Q$from\E/$to/g or die "$from is not in $file";
	append_to_file($link, $bytes);
	chmod 0755, $link;
}

1;
