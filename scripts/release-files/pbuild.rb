# The formula of release @VERSION@, for a tap. It is written by the release script.
class Pbuild < Formula
  desc "Container images with secrets that stay out of them, and apps that start with them"
  homepage "@HOMEPAGE@"
  version "@VERSION@"
  license "MIT"

  depends_on :linux

  on_intel do
    url "@BASE_URL@/pbuild-@VERSION@-linux-amd64.tar.gz"
    sha256 "@SUM_AMD64@"
  end
  on_arm do
    url "@BASE_URL@/pbuild-@VERSION@-linux-arm64.tar.gz"
    sha256 "@SUM_ARM64@"
  end

  def install
    bin.install "bin/pbuild", "bin/prun"
    man1.install Dir["share/man/man1/*.1"]
    bash_completion.install Dir["share/bash-completion/completions/*"]
    zsh_completion.install Dir["share/zsh/site-functions/*"]
    fish_completion.install Dir["share/fish/vendor_completions.d/*"]
    doc.install Dir["share/doc/pbuild/*"]
  end

  test do
    assert_match "pbuild #{version}", shell_output("#{bin}/pbuild --version")
    assert_match "prun #{version}", shell_output("#{bin}/prun --version")
  end
end
